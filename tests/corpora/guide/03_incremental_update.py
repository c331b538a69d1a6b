import wandb

# Start with existing artifact
run = wandb.init(project="dataset-curation", job_type="incremental-update")

# Fetch current artifact version
saved_artifact = run.use_artifact("curated_dataset:latest")

# Create draft for incremental changes
draft_artifact = saved_artifact.new_draft()

# Add new batch of annotated images
draft_artifact.add_file("annotations/batch_42.json")
draft_artifact.add_dir("images/batch_42/")

# Remove duplicate files discovered
draft_artifact.remove("images/batch_15/duplicate_001.jpg")
draft_artifact.remove("images/batch_15/duplicate_002.jpg")

# Update corrected annotations
draft_artifact.remove("annotations/batch_10.json")
draft_artifact.add_file("annotations/batch_10_corrected.json")

# Log new version (only changed files uploaded)
run.log_artifact(draft_artifact)
run.finish()
