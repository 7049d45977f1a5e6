# Check for files that are damaged or cannot be written, before any job starts.  Snakemake itself would notice
# them only when a job fails.


def check_inputs(jobs):
    """Stop before any job starts if a stored file that a job would read is damaged."""
    from dynamical_loss.results import netcdf

    remade = {path for job in jobs for path in job.output}
    for path in sorted({path for job in jobs for path in job.input} - remade):
        if path.endswith(".nc"):
            try:
                netcdf.check(Path(path))
            except UserError as error:
                stop(error)


def check_outputs(jobs):
    """Stop before any job starts if a job could not write its results."""
    for folder in sorted({Path(path).parent for job in jobs for path in job.output}):
        present = next(place for place in (folder, *folder.parents) if place.exists())
        if not os.access(present, os.W_OK | os.X_OK):
            stop(f"{present} is not writable; make it writable, or work on a copy")


def check_files():
    jobs = list(workflow.dag.needrun_jobs())
    check_inputs(jobs)
    check_outputs(jobs)
