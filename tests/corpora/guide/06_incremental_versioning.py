import wandb

# Incremental dataset versioning
run = wandb.init(project="incremental-versioning", job_type="update-to-v2")

# Start from v1
dataset_v1 = run.use_artifact("processed_dataset:v1")
dataset_v2 = dataset_v1.new_draft()

# Only add new/changed files
dataset_v2.add_file("data/new_batch_500.parquet")
dataset_v2.remove("data/old_batch_001.parquet")  # Remove outdated

run.log_artifact(dataset_v2)
run.finish()
