# In training script
run = wandb.init(project="model-training", job_type="train")

split_artifact = run.use_artifact("dataset_splits:latest")
split_path = split_artifact.download()

train_idx = np.load(f"{split_path}/train_indices.npy")
val_idx = np.load(f"{split_path}/val_indices.npy")

# Load data and apply splits
dataset_artifact = run.use_artifact("full_dataset:latest")
# ... use train_idx, val_idx for consistent splits
