# A mistake that Snakemake itself would tell late: its jobs start, and one fails after an hour.


def check_inputs():
    """Refuse to start when a stored file that some job would read is damaged."""
    from dynamical_loss import store

    jobs = list(workflow.dag.needrun_jobs())
    remade = {path for job in jobs for path in job.output}
    for path in sorted({path for job in jobs for path in job.input} - remade):
        if path.endswith(".nc"):
            try:
                store.check(Path(path))
            except UserError as error:
                stop(error)
