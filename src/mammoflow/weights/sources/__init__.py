"""Sources of published weights that several families of members use, one module for each."""
