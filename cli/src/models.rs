//! The models of a local run: files of this machine for the engine in this process, and servers that speak OpenAI's API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use textnlp_crds::cost::Price;
use textnlp_crds::manifest::Resolved;
use textnlp_crds::model::External;
use textnlp_dataset::net::Access;
use textnlp_generation::completer::ModelFacts;
use textnlp_generation::engine::{EngineModel, EngineOptions, Rates};
use textnlp_generation::http::{Endpoint, HttpCompleter, Server};
use textnlp_generation::metrics::RequestMetrics;
use textnlp_generation::{Cancel, Error, Models};

use crate::args::RunArgs;
use crate::cache;
use crate::failure::Failure;
use crate::formats::{Formats, Unsupported};
use crate::load::directory_of;

/// Names the file with the key of external servers: a local run has no Secrets.
const KEY_FILE: &str = "TEXTNLP_API_KEY_FILE";

/// What the digest and the numerics of a model that is not ours are called.
const EXTERNAL: &str = "external";

/// Models by ModelDeployment: opened or known, not yet loaded or asked.
#[derive(Default)]
pub(crate) struct LocalModels {
    engines: BTreeMap<String, EngineModel>,
    external: BTreeMap<String, Endpoint>,
    prices: BTreeMap<String, Price>,
}

impl LocalModels {
    /// Opens every model that a column uses.
    pub(crate) fn open(args: &RunArgs, resolved: &Resolved<'_>) -> Result<Self, Failure> {
        let spec = &resolved.job.object.spec;
        let mut models = Self::default();
        for model in spec.columns.iter().filter_map(|column| spec.model_of(column)) {
            let name = &model.name;
            if models.engines.contains_key(name) || models.external.contains_key(name) {
                continue;
            }
            let given = resolved.models.get(name.as_str()).map(|model| &model.object.spec);
            if let Some(price) = given.and_then(|spec| spec.price.clone()) {
                models.prices.insert(name.clone(), price);
            }
            let source = given.map(|spec| &spec.source);
            match (&args.model, source.and_then(|source| source.external.as_ref())) {
                (None, Some(external)) => {
                    models.external.insert(name.clone(), endpoint(name, external)?);
                }
                (given, _) => {
                    let path = given.clone().map_or_else(|| path_of(name, resolved), Ok)?;
                    let (formats, context_limit) = arithmetic(name, resolved)?;
                    let model = EngineModel::open(name, &path, cache::of(&args.cache))?
                        .with_precision(formats.precision)
                        .with_kv_cache(formats.kv_cache)
                        .with_context_limit(context_limit);
                    models.engines.insert(name.clone(), model);
                }
            }
        }
        Ok(models)
    }

    /// Makes them known to a job.
    pub(crate) fn describe(&self, models: &mut Models) {
        for engine in self.engines.values() {
            models.describe(engine.facts().clone());
        }
        for name in self.external.keys() {
            models.describe(ModelFacts {
                name: name.clone(),
                digest: EXTERNAL.to_owned(),
                numerics: EXTERNAL.to_owned(),
                reproducible: false,
                chat: true,
                tokenizer_digest: None,
                context_tokens: None,
            });
        }
        for (name, price) in &self.prices {
            models.set_price(name, price.clone());
        }
    }

    /// Loads the engines.
    pub(crate) fn load(&self, models: &mut Models, options: EngineOptions) -> Result<(), Error> {
        for (name, engine) in &self.engines {
            models.connect(name, engine.load(options)?);
        }
        Ok(())
    }

    /// Connects to the servers. Nothing is asked yet.
    pub(crate) async fn reach(&self, models: &mut Models, cancel: &Cancel) -> Result<(), Error> {
        for (name, endpoint) in &self.external {
            let (metrics, cancel) = (RequestMetrics::default(), cancel.clone());
            let access = Access::from_environment();
            let completer = HttpCompleter::connect(endpoint.clone(), access, metrics, cancel);
            models.connect(name, Arc::new(completer.await?));
        }
        Ok(())
    }

    /// Connects what counts tokens without weights.
    pub(crate) fn count(&self, models: &mut Models) -> Result<(), Failure> {
        if let Some(name) = self.external.keys().next() {
            return Err(Failure::usage(format!(
                "--dry-run counts tokens, which only the server of model {name:?} can; use --preview instead"
            )));
        }
        for (name, engine) in &self.engines {
            models.connect(name, engine.counter());
        }
        Ok(())
    }

    /// Measures the first engine on this machine.
    pub(crate) fn measure(&self, options: EngineOptions) -> Result<Option<Rates>, Error> {
        self.engines.values().next().map(|engine| engine.measure(options)).transpose()
    }
}

/// Where a ModelDeployment's files are on this machine.
fn path_of(name: &str, resolved: &Resolved<'_>) -> Result<PathBuf, Failure> {
    let Some(model) = resolved.models.get(name) else {
        return Err(Failure::usage(format!(
            "there is no ModelDeployment {name:?}; add its file, or give --model PATH"
        )));
    };
    match &model.object.spec.source.file {
        Some(file) => Ok(directory_of(model.origin.file()).join(&file.path)),
        None => Err(Failure::usage(format!(
            "{}: spec.source: ModelDeployment {name:?} names no file of this machine: a local run reads \
             `file: {{path: ...}}`, or the path given with --model",
            model.origin.locate("spec.source")
        ))),
    }
}

/// What a ModelDeployment's `engine` says about a row, checked as its servers check it: the same manifest must do the same
/// here. What only changes the speed is for the machine that it was written for.
fn arithmetic(name: &str, resolved: &Resolved<'_>) -> Result<(Formats, Option<usize>), Failure> {
    let model = resolved.models.get(name);
    let Some((model, engine)) =
        model.and_then(|model| Some((model, model.object.spec.engine.as_ref()?)))
    else {
        return Ok((Formats::default(), None));
    };
    let formats = Formats::of(engine).map_err(|unsupported| {
        let Unsupported { field, found, allowed } = unsupported;
        let path = format!("spec.engine.{field}");
        Failure::usage(format!(
            "{}: {path} is {found}: this build does not compute in it; use {allowed}",
            model.origin.locate(&path)
        ))
    })?;
    Ok((formats, engine.max_context_tokens.and_then(|tokens| usize::try_from(tokens).ok())))
}

fn endpoint(name: &str, external: &External) -> Result<Endpoint, Failure> {
    let key = std::env::var_os(KEY_FILE).map(PathBuf::from);
    if external.secret_ref.is_some() && key.is_none() {
        return Err(Failure::usage(format!(
            "model {name:?} needs a key, and a local run has no Secrets: put the key into a file, and the file's path into {KEY_FILE}"
        )));
    }
    Ok(Endpoint {
        name: name.to_owned(),
        model: external.model.clone(),
        url: external.endpoint.clone(),
        server: Server::External {
            key: key.filter(|_| external.secret_ref.is_some()),
            limits: external.limits.clone().unwrap_or_default(),
            workers: 1,
        },
    })
}
