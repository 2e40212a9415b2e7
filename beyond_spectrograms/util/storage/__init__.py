"""Files wherever they lie: folders of this machine, and object stores."""
