//! The job and the model that most tests use: small, so that a test takes seconds, and always the same, so that the local
//! run that it is held against is made once.

use serde_json::{Value, json};

const PRODUCTS: [&str; 16] = [
    "kettle", "lamp", "bicycle", "tent", "guitar", "printer", "blender", "sofa", "drone", "camera",
    "keyboard", "toaster", "backpack", "watch", "heater", "ladder",
];

/// A GenerationJob. [`Job::small`] is 32 rows of 12 tokens.
#[derive(Debug, Clone)]
pub struct Job(pub Value);

impl Job {
    /// 16 records with two samples each.
    pub fn small(name: &str) -> Self {
        let records: Vec<Value> =
            PRODUCTS.iter().map(|product| json!({"product": product})).collect();
        Self(json!({
            "apiVersion": "textnlp.dev/v1alpha1",
            "kind": "GenerationJob",
            "metadata": {"name": name},
            "spec": {
                "modelRef": {"name": "smollm2"},
                "source": {"inline": {"records": records}},
                "samplesPerRecord": 2,
                "attributes": [{"name": "tone", "choice": {"values": ["angry", "calm"]}}],
                "sampling": {"temperature": 0.8, "topP": 0.95, "maxTokens": 12, "seed": 7},
                "columns": [
                    {"name": "ticket", "prompt": "Write one {{ tone }} sentence about a broken {{ product }}."},
                    {"name": "subject", "value": "[{{ tone }}] {{ product }}"}
                ],
                "validation": {
                    "metrics": [{"metric": "wordCount", "column": "ticket"}],
                    "filters": [{"name": "not-empty", "metric": "wordCount", "column": "ticket", "min": 2}],
                    "gates": [{"metric": "failedRate", "max": 0}]
                },
                "output": {"destination": {"claim": {"size": "1Gi", "accessMode": "ReadWriteMany"}}}
            }
        }))
    }

    /// Changes one field, named by its JSON pointer below `spec`.
    #[track_caller]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.0["spec"];
        for key in pointer.split('/').filter(|key| !key.is_empty()) {
            place = match key.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[key],
            };
        }
        *place = value;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// A ModelDeployment of the example's model, from the claim `models`.
#[derive(Debug, Clone)]
pub struct Model(pub Value);

impl Model {
    /// One replica that asks for little.
    pub fn small(name: &str) -> Self {
        Self(json!({
            "apiVersion": "textnlp.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {
                "source": {"persistentVolumeClaim": {"claimName": "models", "path": "SmolLM2-135M-Instruct.Q4_1.gguf"}},
                "resources": {"requests": {"cpu": "100m", "memory": "700Mi"}}
            }
        }))
    }

    /// Changes one field, named by its JSON pointer below `spec`.
    #[track_caller]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        self.0 = Job(self.0).with(pointer, value).0;
        self
    }
}
