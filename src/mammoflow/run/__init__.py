"""What a running job needs: device, seeds, worker processes, and the record of what made a result."""
