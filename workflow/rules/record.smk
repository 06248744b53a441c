# The record of the run: what it is made with, how it ended, and the digests of what it left.


onstart:
    try:
        run_lock.take(RUN)
    except MammoflowError as error:
        raise WorkflowError(str(error)) from None
    run_records.begin_record(
        CONFIG,
        workflow.executor_plugin.name,
        ROOT,
        sys.argv,
        CONFIG_FILES,
        workflow.resource_settings.cores,
        FINGERPRINTS,
        job_records.begin_start(RUN),
    )


onsuccess:
    PART = workflow.dag_settings.targets or workflow.dag_settings.until or workflow.dag_settings.omit_from
    if workflow.dag_settings.forceall and not PART:
        job_records.keep_start(RUN)
    run_records.end_record(CONFIG, run_records.FINISHED)
    run_lock.release(RUN)


onerror:
    run_records.end_record(CONFIG, run_records.FAILED)
    run_lock.release(RUN)
