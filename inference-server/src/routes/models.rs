//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};

use super::AppState;
use crate::api::models::{Model, ModelList};
use crate::error::ApiError;
use crate::served::Served;

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<ModelList>, ApiError> {
    let served = state.readiness.accept()?;
    Ok(Json(ModelList { object: "list", data: vec![model(served)] }))
}

pub(super) async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    let served = state.readiness.accept()?;
    if id != served.name {
        return Err(ApiError::UnknownModel { found: id, known: served.name.clone() });
    }
    Ok(Json(model(served)))
}

fn model(served: &Served) -> Model {
    Model {
        id: served.name.clone(),
        object: "model",
        created: served.created,
        owned_by: "textnlp",
        max_model_len: served.model.info().context_tokens,
    }
}
