"""What tests of several packages share: params, results, sounds, clones, servers, and ways to stop work."""
