import wandb
import argparse

# Run on worker 1
parser = argparse.ArgumentParser()
parser.add_argument("--worker_id", type=int)
args = parser.parse_args()

run = wandb.init(
    project="distributed-processing",
    job_type="process-shard",
    group="batch_42"  # Shared distributed_id
)

# Each worker processes a shard
shard_artifact = wandb.Artifact(
    name="processed_results",
    type="dataset"
)

# Worker-specific processing
shard_file = f"results_worker_{args.worker_id}.parquet"
# ... process data shard ...
shard_artifact.add_file(shard_file)

# Upsert to collaborative artifact
run.upsert_artifact(
    shard_artifact,
    distributed_id="batch_42"  # Same across all workers
)

run.finish()
