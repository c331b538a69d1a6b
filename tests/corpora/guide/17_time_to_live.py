import wandb

# Set TTL (time-to-live) on temporary artifacts
run = wandb.init(project="retention-policies", job_type="temp-results")

temp_artifact = wandb.Artifact(
    name="experiment_outputs",
    type="results",
    metadata={"ttl_days": 30}  # Custom metadata for tracking
)
temp_artifact.add_dir("outputs/")

run.log_artifact(temp_artifact)
run.finish()
