# Set cache directory
export WANDB_CACHE_DIR="/mnt/fast-ssd/wandb-cache"

# Set artifact download directory
export WANDB_ARTIFACT_DIR="./artifacts"

# Clean up cache (keep 10GB)
wandb artifact cache cleanup 10GB
