import wandb

# Full dataset versioning
run = wandb.init(project="full-versioning", job_type="create-v2")

# Create new artifact from scratch
dataset_v2 = wandb.Artifact(
    name="processed_dataset",
    type="dataset",
    description="Fully reprocessed dataset v2"
)

# Add all files (even if unchanged from v1)
dataset_v2.add_dir("data/processed/v2/")
run.log_artifact(dataset_v2)
run.finish()
