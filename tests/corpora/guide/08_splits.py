import wandb
import numpy as np
from sklearn.model_selection import train_test_split

run = wandb.init(project="split-management", job_type="create-splits")

# Input dataset
dataset_artifact = run.use_artifact("full_dataset:latest")
dataset_path = dataset_artifact.download()

# Load and split
data = np.load(f"{dataset_path}/data.npy")
labels = np.load(f"{dataset_path}/labels.npy")

# Create reproducible splits
train_idx, test_idx = train_test_split(
    np.arange(len(data)),
    test_size=0.2,
    random_state=42,
    stratify=labels
)
train_idx, val_idx = train_test_split(
    train_idx,
    test_size=0.125,  # 10% of total (0.8 * 0.125 = 0.1)
    random_state=42,
    stratify=labels[train_idx]
)

# Save split indices as artifact
split_artifact = wandb.Artifact(
    name="dataset_splits",
    type="split_indices",
    metadata={
        "train_size": len(train_idx),
        "val_size": len(val_idx),
        "test_size": len(test_idx),
        "random_seed": 42
    }
)
np.save("train_indices.npy", train_idx)
np.save("val_indices.npy", val_idx)
np.save("test_indices.npy", test_idx)
split_artifact.add_file("train_indices.npy")
split_artifact.add_file("val_indices.npy")
split_artifact.add_file("test_indices.npy")

run.log_artifact(split_artifact)
run.finish()
