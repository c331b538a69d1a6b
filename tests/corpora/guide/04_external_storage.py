import wandb

run = wandb.init(project="s3-datasets", job_type="reference-external")

# Create artifact referencing S3 bucket
s3_artifact = wandb.Artifact(
    name="imagenet_s3",
    type="dataset",
    description="ImageNet stored in S3"
)

# Add S3 references (no data copied to W&B)
s3_artifact.add_reference(
    uri="s3://my-bucket/imagenet/train/",
    name="train"
)
s3_artifact.add_reference(
    uri="s3://my-bucket/imagenet/val/",
    name="val"
)

run.log_artifact(s3_artifact)
run.finish()
