"""The task types: one file each. A new file here with a `@task_type` function is all that a new type takes."""
