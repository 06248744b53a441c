"""What a run needs before its first job: checks, and the files and resources of each job."""
