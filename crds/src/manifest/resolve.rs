//! The one job of a manifest, and the objects that it names. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

use super::{Loaded, Manifest};
use crate::job::GenerationJob;
use crate::model::ModelDeployment;

/// What the command line gives in place of objects of the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// A model (`--model`): the manifest needs none.
    pub model: bool,
    /// A source (`--source`): the manifest needs no ConfigMap.
    pub source: bool,
}

/// The job of a manifest, and what it names.
#[derive(Clone, Debug)]
pub struct Resolved<'m> {
    /// The job.
    pub job: &'m Loaded<GenerationJob>,
    /// The models that its columns call, by name. With `--model`, only those that are there.
    pub models: BTreeMap<&'m str, &'m Loaded<ModelDeployment>>,
    /// The ConfigMap of its source.
    pub config_map: Option<&'m Loaded<ConfigMap>>,
}

/// Why a manifest cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No job.
    #[error("the files hold no GenerationJob{}: there is nothing to run", found(*models, *config_maps))]
    NoJob {
        /// How many models there are instead.
        models: usize,
        /// How many ConfigMaps there are instead.
        config_maps: usize,
    },
    /// Several jobs.
    #[error("the files hold {} GenerationJobs ({}): a local run takes one; name its file alone", .0.len(), .0.join(", "))]
    SeveralJobs(Vec<String>),
    /// Two objects of one name.
    #[error("{kind} {name:?} is there twice: {first} and {second}")]
    Twice {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where the first is.
        first: String,
        /// Where the second is.
        second: String,
    },
    /// A model that the job names, and that is not there.
    #[error(
        "{at}: {path}: the ModelDeployment {name:?} is in none of the files{}; add its file, or give --model PATH",
        known(known_names)
    )]
    NoModel {
        /// Where the job names it.
        at: String,
        /// The field that names it.
        path: String,
        /// Its name.
        name: String,
        /// The models that are there.
        known_names: Vec<String>,
    },
    /// A ConfigMap that the job names, and that is not there.
    #[error(
        "{at}: spec.source.configMap.name: the ConfigMap {name:?} is in none of the files{}; add its file, or give --source PATH",
        known(known_names)
    )]
    NoConfigMap {
        /// Where the job names it.
        at: String,
        /// Its name.
        name: String,
        /// The ConfigMaps that are there.
        known_names: Vec<String>,
    },
}

fn found(models: usize, config_maps: usize) -> String {
    match (models, config_maps) {
        (0, 0) => String::new(),
        (models, config_maps) => {
            format!(", only {models} ModelDeployment(s) and {config_maps} ConfigMap(s)")
        }
    }
}

fn known(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!(" (there are: {})", names.join(", ")),
    }
}

impl Manifest {
    /// The one job, the models that its columns call, and the ConfigMap of its source.
    ///
    /// # Errors
    /// If there is no job or more than one, if two objects have one name, or if one that the job
    /// names is neither there nor given on the command line.
    pub fn resolve(&self, given: Given) -> Result<Resolved<'_>, ResolveError> {
        unique("ModelDeployment", &self.models)?;
        unique("ConfigMap", &self.config_maps)?;
        let job = self.one_job()?;
        let models = self.models_of(job, given)?;
        let config_map = self.config_map_of(job, given)?;
        Ok(Resolved { job, models, config_map })
    }

    fn one_job(&self) -> Result<&Loaded<GenerationJob>, ResolveError> {
        match self.jobs.as_slice() {
            [job] => Ok(job),
            [] => Err(ResolveError::NoJob {
                models: self.models.len(),
                config_maps: self.config_maps.len(),
            }),
            jobs => {
                let name = |job: &Loaded<GenerationJob>| {
                    format!("{} at {}", job.object.name_any(), job.origin.locate(""))
                };
                Err(ResolveError::SeveralJobs(jobs.iter().map(name).collect()))
            }
        }
    }

    fn models_of<'m>(
        &'m self,
        job: &'m Loaded<GenerationJob>,
        given: Given,
    ) -> Result<BTreeMap<&'m str, &'m Loaded<ModelDeployment>>, ResolveError> {
        let spec = &job.object.spec;
        let mut models = BTreeMap::new();
        for (index, column) in spec.columns.iter().enumerate() {
            let Some(reference) = spec.model_of(column) else {
                continue;
            };
            match named(&self.models, &reference.name, job) {
                Some(model) => {
                    models.insert(reference.name.as_str(), model);
                }
                None if given.model => {}
                None => {
                    let path = match column.model_ref {
                        Some(_) => format!("spec.columns[{index}].modelRef.name"),
                        None => "spec.modelRef.name".into(),
                    };
                    return Err(ResolveError::NoModel {
                        at: job.origin.locate(&path).to_string(),
                        path,
                        name: reference.name.clone(),
                        known_names: names(&self.models),
                    });
                }
            }
        }
        Ok(models)
    }

    fn config_map_of<'m>(
        &'m self,
        job: &Loaded<GenerationJob>,
        given: Given,
    ) -> Result<Option<&'m Loaded<ConfigMap>>, ResolveError> {
        let Some(reference) = &job.object.spec.source.config_map else {
            return Ok(None);
        };
        match named(&self.config_maps, &reference.name, job) {
            Some(config_map) => Ok(Some(config_map)),
            None if given.source => Ok(None),
            None => Err(ResolveError::NoConfigMap {
                at: job.origin.locate("spec.source.configMap.name").to_string(),
                name: reference.name.clone(),
                known_names: names(&self.config_maps),
            }),
        }
    }
}

/// The object of that name in the job's namespace. An object that names no namespace goes to the
/// one that kubectl is set to, and so beside the job.
fn named<'m, T: ResourceExt>(
    objects: &'m [Loaded<T>],
    name: &str,
    job: &Loaded<GenerationJob>,
) -> Option<&'m Loaded<T>> {
    objects.iter().find(|object| {
        let namespaces = (object.object.namespace(), job.object.namespace());
        let beside = match namespaces {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        beside && object.object.name_any() == name
    })
}

fn names<T: ResourceExt>(objects: &[Loaded<T>]) -> Vec<String> {
    objects.iter().map(|object| object.object.name_any()).collect()
}

fn unique<T: ResourceExt>(kind: &'static str, objects: &[Loaded<T>]) -> Result<(), ResolveError> {
    let mut seen: BTreeMap<(Option<String>, String), &Loaded<T>> = BTreeMap::new();
    for object in objects {
        let key = (object.object.namespace(), object.object.name_any());
        if let Some(first) = seen.insert(key, object) {
            return Err(ResolveError::Twice {
                kind,
                name: object.object.name_any(),
                first: first.origin.locate("").to_string(),
                second: object.origin.locate("").to_string(),
            });
        }
    }
    Ok(())
}
