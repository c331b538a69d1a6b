import wandb

# Project A: Create shared artifact
run_a = wandb.init(project="project-a", job_type="create-shared")
shared_artifact = wandb.Artifact("shared_preprocessor", type="model")
shared_artifact.add_file("tokenizer.pkl")
run_a.log_artifact(shared_artifact)
run_a.finish()

# Project B: Use artifact from Project A
run_b = wandb.init(project="project-b", job_type="use-shared")
artifact_ref = run_b.use_artifact("project-a/shared_preprocessor:latest")
artifact_path = artifact_ref.download()
# Use shared preprocessor in Project B
run_b.finish()
