import wandb
from torchvision import transforms

run = wandb.init(project="augmentation-tracking", job_type="augment-dataset")

# Source dataset
source_artifact = run.use_artifact("original_images:latest")
source_path = source_artifact.download()

# Define augmentation pipeline
augmentation_config = {
    "rotation": 15,
    "horizontal_flip": 0.5,
    "color_jitter": {"brightness": 0.2, "contrast": 0.2},
    "crop_scale": (0.8, 1.0)
}

# Create augmented dataset artifact
augmented_artifact = wandb.Artifact(
    name="augmented_images",
    type="dataset",
    metadata={
        "source": "original_images:latest",
        "augmentations": augmentation_config,
        "multiplier": 5  # 5x data from augmentation
    }
)

# Apply augmentations and add to artifact
# (implementation details omitted)
augmented_artifact.add_dir("data/augmented/")

run.log_artifact(augmented_artifact)
run.finish()
