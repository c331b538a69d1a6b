import wandb
import pandas as pd
from sklearn.preprocessing import StandardScaler
import pickle

run = wandb.init(project="preprocessing-pipeline", job_type="fit-scaler")

# Input: raw dataset artifact
raw_data_artifact = run.use_artifact("raw_sensor_data:latest")
raw_data_path = raw_data_artifact.download()

# Preprocessing
df = pd.read_csv(f"{raw_data_path}/sensors.csv")
scaler = StandardScaler()
scaled_data = scaler.fit_transform(df[['temperature', 'pressure', 'humidity']])

# Output 1: Fitted scaler artifact
scaler_artifact = wandb.Artifact(
    name="sensor_scaler",
    type="preprocessor",
    metadata={
        "features": ['temperature', 'pressure', 'humidity'],
        "n_samples": len(df)
    }
)
with open("scaler.pkl", "wb") as f:
    pickle.dump(scaler, f)
scaler_artifact.add_file("scaler.pkl")
run.log_artifact(scaler_artifact)

# Output 2: Processed dataset artifact
processed_artifact = wandb.Artifact(
    name="processed_sensor_data",
    type="dataset",
    metadata={
        "preprocessing": "StandardScaler",
        "scaler_version": "sensor_scaler:v0"
    }
)
pd.DataFrame(scaled_data, columns=['temp_scaled', 'press_scaled', 'humid_scaled']).to_csv("processed.csv")
processed_artifact.add_file("processed.csv")
run.log_artifact(processed_artifact)

run.finish()
