import wandb
import os

run = wandb.init(project="efficient-loading", job_type="train")

# Check if artifact already cached
artifact = run.use_artifact("large_dataset:latest")

cache_path = os.path.join(
    os.getenv("WANDB_CACHE_DIR", "~/.cache/wandb"),
    artifact.digest
)

if os.path.exists(cache_path):
    print(f"Using cached artifact at {cache_path}")
    dataset_path = cache_path
else:
    print("Downloading artifact...")
    dataset_path = artifact.download()

# Use dataset_path for training
run.finish()
