//! The claim that the operator makes for a dataset. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use textnlp_crds::output::{AccessMode, OwnedClaim, WhenDeleted};

use crate::job::spec;
use crate::meta::{OWNER_UID, Owner};

/// The claim. One that is retained has no owner reference: the garbage collector would take it with the job.
pub(crate) fn claim(owner: &Owner, wanted: &OwnedClaim) -> PersistentVolumeClaim {
    let mut metadata = owner.object_meta(&spec::claim_name(owner), "dataset");
    metadata.annotations.get_or_insert_default().insert(OWNER_UID.into(), owner.uid().into());
    if wanted.when_deleted == WhenDeleted::Retain {
        metadata.owner_references = None;
    }
    let mode = match wanted.access_mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    };
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode.into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".into(), wanted.size.clone())])),
                limits: None,
            }),
            storage_class_name: wanted.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
