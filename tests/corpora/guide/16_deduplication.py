import wandb

# Version 1: 1000 images
run = wandb.init(project="cost-optimization", job_type="v1")
v1_artifact = wandb.Artifact("dataset", type="dataset")
v1_artifact.add_dir("images/batch_1-10/")  # 1000 images
run.log_artifact(v1_artifact)
run.finish()

# Version 2: Add 100 new images
run = wandb.init(project="cost-optimization", job_type="v2")
v2_artifact = wandb.Artifact("dataset", type="dataset")
v2_artifact.add_dir("images/batch_1-10/")  # Same 1000 images (not re-uploaded!)
v2_artifact.add_dir("images/batch_11/")    # Only 100 new images uploaded
run.log_artifact(v2_artifact)
run.finish()
