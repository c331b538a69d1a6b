import wandb
import os

# Partition by year/month for time-series data
run = wandb.init(project="logs-archive", job_type="partition-logs")

for year in range(2020, 2025):
    for month in range(1, 13):
        partition_artifact = wandb.Artifact(
            name=f"server_logs_{year}_{month:02d}",
            type="logs",
            metadata={
                "year": year,
                "month": month,
                "partition_key": f"{year}-{month:02d}"
            }
        )

        partition_path = f"logs/{year}/{month:02d}/"
        if os.path.exists(partition_path):
            partition_artifact.add_dir(partition_path)
            run.log_artifact(partition_artifact)

run.finish()
