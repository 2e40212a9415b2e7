"""What work will take, said before it begins: from the rates of earlier runs, else from one short pilot."""
