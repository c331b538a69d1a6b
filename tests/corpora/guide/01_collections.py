import wandb

# Create artifact collection for dataset splits
run = wandb.init(project="dataset-pipeline", job_type="prepare-splits")

# Training split artifact
train_artifact = wandb.Artifact(
    name="imagenet_train",
    type="dataset",
    description="ImageNet training split"
)
train_artifact.add_dir("data/train/")
run.log_artifact(train_artifact)

# Validation split artifact
val_artifact = wandb.Artifact(
    name="imagenet_val",
    type="dataset",
    description="ImageNet validation split"
)
val_artifact.add_dir("data/val/")
run.log_artifact(val_artifact)

# Test split artifact
test_artifact = wandb.Artifact(
    name="imagenet_test",
    type="dataset",
    description="ImageNet test split"
)
test_artifact.add_dir("data/test/")
run.log_artifact(test_artifact)

run.finish()
