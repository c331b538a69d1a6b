import wandb
from datetime import datetime, timedelta

api = wandb.Api()

# Define retention policy
KEEP_ALIASES = ["latest", "production", "best", "baseline"]
RETENTION_DAYS = 90

# Get all artifacts in project
artifacts = api.artifacts(
    type_name="dataset",
    project="my-project"
)

for artifact in artifacts:
    # Keep if has important alias
    if any(alias in artifact.aliases for alias in KEEP_ALIASES):
        continue

    # Keep if recent
    created_at = datetime.fromisoformat(artifact.created_at.replace('Z', '+00:00'))
    age_days = (datetime.now(created_at.tzinfo) - created_at).days

    if age_days < RETENTION_DAYS:
        continue

    # Delete old artifact
    print(f"Deleting {artifact.name}:{artifact.version} (age: {age_days} days)")
    artifact.delete()
