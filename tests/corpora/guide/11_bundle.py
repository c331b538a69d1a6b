import wandb
import json
import torch

run = wandb.init(project="training-bundles", job_type="create-bundle")

# Create bundle artifact
bundle_artifact = wandb.Artifact(
    name="training_bundle_v1",
    type="bundle",
    description="Complete training context for ResNet-50"
)

# 1. Add model checkpoint
model_artifact = run.use_artifact("resnet50_trained:best")
model_path = model_artifact.download()
bundle_artifact.add_file(f"{model_path}/model.pth", name="model.pth")

# 2. Add dataset reference
dataset_artifact = run.use_artifact("imagenet_processed:v5")
bundle_artifact.add_reference(
    uri=f"wandb-artifact://{dataset_artifact.id}",
    name="dataset"
)

# 3. Add configuration
config = {
    "model": "ResNet-50",
    "dataset": "ImageNet",
    "dataset_version": "v5",
    "epochs": 90,
    "batch_size": 256,
    "learning_rate": 0.1,
    "optimizer": "SGD",
    "scheduler": "StepLR",
    "preprocessing": {
        "resize": 256,
        "crop": 224,
        "normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    }
}
with open("training_config.json", "w") as f:
    json.dump(config, f, indent=2)
bundle_artifact.add_file("training_config.json")

# 4. Add training script
bundle_artifact.add_file("train.py")
bundle_artifact.add_file("model_architecture.py")

run.log_artifact(bundle_artifact)
run.finish()
