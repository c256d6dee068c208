//! Packed weights from a file are the weights that were packed, whatever kinds they have; and a file with any fault is as
//! good as none.

mod common;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::*;
use tempfile::TempDir;
use textnlp_engine::engine::{LoadOptions, ModelCache, OpenModel};
use textnlp_engine::model::Model;
use textnlp_engine::models::cpu::PackedFile;
use textnlp_engine::models::{CpuModel, CpuOptions, Precision, Tensors};
use textnlp_engine::weights::{
    Blocks, Encoding, LayerTensor, Matrix, ModelConfig, ModelFiles, TensorRole, WeightsError,
};

/// Counts how often weights are read.
struct Counted<T> {
    tensors: T,
    reads: Cell<usize>,
}

impl<T: Tensors> Tensors for Counted<T> {
    fn config(&self) -> &ModelConfig {
        self.tensors.config()
    }

    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        self.reads.set(self.reads.get() + 1);
        self.tensors.tensor(role)
    }

    fn encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.tensors.encoding(role)
    }

    fn block_encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.tensors.block_encoding(role)
    }

    fn blocks(&self, role: TensorRole) -> Result<Option<Blocks>, WeightsError> {
        self.reads.set(self.reads.get() + 1);
        self.tensors.blocks(role)
    }
}

/// A model whose key is 1.
fn file(folder: &TempDir) -> PackedFile {
    PackedFile::new(folder.path().join("packed/model.packed"), [1; 32])
}

/// Logits of some tokens, and how often weights were read.
fn logits(
    tensors: &dyn Tensors,
    precision: Precision,
    packed: Option<PackedFile>,
) -> Vec<Vec<f32>> {
    let options = CpuOptions { threads: 2, precision, packed, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(2).expect("memory for 2 pages");
    let tokens = random_tokens(7, 20, tensors.config().vocab_size);
    prefill(&mut model, &tokens, &[0, 1], 64)
}

/// The logits with that file, and how often the tensors were read.
fn with_file(
    tensors: impl Tensors,
    precision: Precision,
    file: &PackedFile,
) -> (Vec<Vec<f32>>, usize) {
    let counted = Counted { tensors, reads: Cell::new(0) };
    (logits(&counted, precision, Some(file.clone())), counted.reads.get())
}

fn check_same(tensors: impl Fn() -> RandomTensors, precision: Precision, what: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let expect = logits(&tensors(), precision, None);
    for (start, may_read) in [("cold", true), ("warm", false)] {
        let (got, reads) = with_file(tensors(), precision, &file(&folder));
        assert_same_bits(&got, &expect, &format!("{what}, {start}"));
        assert_eq!(reads > 0, may_read, "{what}, {start}: {reads} reads");
    }
}

#[test]
fn a_model_of_any_kind_gives_the_same_bits_from_its_file() {
    for precision in [Precision::AsStored, Precision::F32, Precision::Int8, Precision::Int4] {
        check_same(tiny_llama, precision, &format!("tied LLaMA, padded heads, {precision:?}"));
        check_same(small_llama, precision, &format!("LLaMA with a head, {precision:?}"));
        check_same(quantised_llama, precision, &format!("LLaMA in blocks, {precision:?}"));
        check_same(tiny_gpt2, precision, &format!("GPT-2, {precision:?}"));
    }
}

/// Biases of the queries only, as some LLaMA models have them, and matrices in bfloat16.
struct Biased(RandomTensors);

impl Tensors for Biased {
    fn config(&self) -> &ModelConfig {
        self.0.config()
    }

    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        match role {
            TensorRole::Layer(_, LayerTensor::QueryBias) => {
                let columns = self.0.config.heads * self.0.config.head_dim;
                let data = (0..columns).map(|index| index as f32 / 64.0 - 1.0).collect();
                Ok(Some(Matrix { rows: 1, columns, data }))
            }
            _ => self.0.tensor(role),
        }
    }

    fn encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.0.encoding(role).map(|_| Encoding::BF16)
    }
}

#[test]
fn biases_that_only_some_models_have_and_bfloat16_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = || Biased(small_llama());
    let expect = logits(&tensors(), Precision::AsStored, None);
    let unbiased = logits(&small_llama(), Precision::AsStored, None);
    assert_ne!(expect, unbiased);
    for may_read in [true, false] {
        let (got, reads) = with_file(tensors(), Precision::AsStored, &file(&folder));
        assert_same_bits(&got, &expect, "biased");
        assert_eq!(reads > 0, may_read);
    }
}

#[test]
fn a_file_with_any_fault_is_packed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let packed = file(&folder);
    let stored = Precision::AsStored;
    let expect = logits(&quantised_llama(), stored, None);
    with_file(quantised_llama(), stored, &packed);
    let good = fs::read(packed.path()).expect("a file");
    let check = |what: &str, bytes: &[u8]| {
        fs::write(packed.path(), bytes).expect("a file is written");
        let (got, reads) = with_file(quantised_llama(), stored, &packed);
        assert_same_bits(&got, &expect, what);
        assert!(reads > 0, "{what}: the file was used");
        assert_eq!(fs::read(packed.path()).expect("a file"), good, "{what}: it is mended");
    };
    // The head in full, then what it is about: sections begin and end everywhere.
    let head =
        56 + 16 * u32::from_le_bytes(*good[12..].first_chunk().expect("a head")) as usize + 8;
    let places = (0..head).step_by(3).chain((head..good.len()).step_by(good.len() / 100));
    for place in places.chain([head - 1, head, good.len() - 1]) {
        let mut changed = good.clone();
        changed[place] ^= 0x40;
        check(&format!("byte {place} of {}", good.len()), &changed);
    }
    for length in [0, 1, 15, 16, 55, head - 1, head, good.len() / 2, good.len() - 1] {
        check(&format!("cut to {length} bytes"), &good[..length]);
    }
    check("longer", &[good.as_slice(), &[0]].concat());
    check("no head", &vec![0; good.len()]);
    check("two of them", &[good.as_slice(), &good].concat());
}

#[test]
fn the_file_of_another_model_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let stored = Precision::AsStored;
    let expect = logits(&small_llama(), stored, None);
    // Another key; and the same key with other sizes or kinds, which no honest file has.
    let other = PackedFile::new(file(&folder).path().to_owned(), [2; 32]);
    with_file(small_llama(), stored, &other);
    let (got, reads) = with_file(small_llama(), stored, &file(&folder));
    assert_same_bits(&got, &expect, "another key");
    assert!(reads > 0);
    for other in [tiny_llama(), quantised_llama(), tiny_gpt2()] {
        fs::remove_file(file(&folder).path()).expect("a file");
        with_file(other, stored, &file(&folder));
        let (got, reads) = with_file(small_llama(), stored, &file(&folder));
        assert_same_bits(&got, &expect, "other sizes");
        assert!(reads > 0);
    }
    let mut deeper = small_llama();
    deeper.config.layers = 3;
    fs::remove_file(file(&folder).path()).expect("a file");
    with_file(deeper, stored, &file(&folder));
    let (got, reads) = with_file(small_llama(), stored, &file(&folder));
    assert_same_bits(&got, &expect, "more layers");
    assert!(reads > 0);
}

#[test]
fn where_no_file_can_be_written_or_read_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let expect = logits(&tiny_llama(), Precision::AsStored, None);
    let check = |path: &Path| {
        let packed = PackedFile::new(path.to_owned(), [1; 32]);
        for _ in 0..2 {
            let (got, reads) = with_file(tiny_llama(), Precision::AsStored, &packed);
            assert_same_bits(&got, &expect, &path.display().to_string());
            assert!(reads > 0);
        }
    };
    fs::write(folder.path().join("file"), "x").expect("a file is written");
    check(&folder.path().join("file/model.packed"));
    check(Path::new("/proc/model.packed"));
    fs::create_dir_all(folder.path().join("directory/x")).expect("a directory");
    check(&folder.path().join("directory"));
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "nothing unfinished stays");
}

#[test]
fn smollm2_starts_from_its_cache_with_the_same_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = ModelCache::at(folder.path());
    let files = ModelFiles::open(&smollm2_path()).expect("the file is valid");
    let expect = logits(&files, Precision::AsStored, None);
    let digest = files.digest().expect("a digest");
    let mut times = Vec::new();
    for start in ["cold", "warm"] {
        let model = OpenModel::open_with(&smollm2_path(), Some(cache.clone())).expect("a model");
        assert_eq!(model.info().digest, digest, "{start}");
        let mut model = model.executor(Some(2), None).expect("it loads");
        model.reserve(2).expect("memory for 2 pages");
        let tokens = random_tokens(7, 20, files.config().vocab_size);
        assert_same_bits(&prefill(&mut model, &tokens, &[0, 1], 64), &expect, start);
        let packed = fs::read_dir(folder.path().join("packed")).expect("a folder");
        let packed: Vec<_> = packed.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(packed.len(), 1, "{start}");
        let metadata = packed[0].metadata().expect("a file");
        times.push((
            metadata.modified().expect("a time"),
            std::os::unix::fs::MetadataExt::ino(&metadata),
        ));
    }
    assert_eq!(times[0].1, times[1].1, "the file was used and not written again");
    assert!(times[0].0 < times[1].0, "its last use is noted");
    OpenModel::open_with(&smollm2_path(), Some(cache))
        .expect("a model")
        .with_precision(Precision::Int8)
        .load(LoadOptions::default())
        .expect("it loads");
    let packed = fs::read_dir(folder.path().join("packed")).expect("a folder");
    assert_eq!(packed.count(), 2, "another precision, another file");
}

#[test]
fn a_digest_is_remembered_until_its_file_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, digests) = (folder.path().join("model.gguf"), folder.path().join("digests"));
    fs::copy(smollm2_path(), &model).expect("a copy");
    let digest = || {
        let files = ModelFiles::open(&model).expect("a model");
        files.digest_remembered(&digests).expect("a digest")
    };
    let records = || fs::read_dir(&digests).map_or(0, Iterator::count);
    let true_digest = ModelFiles::open(&model).expect("a model").digest().expect("a digest");
    assert_eq!(digest(), true_digest);
    assert_eq!(
        records(),
        0,
        "it was written just now, and may be written again in the same second"
    );
    let touch = |age: u64| {
        let file = fs::File::options().write(true).open(&model).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
    };
    touch(1000);
    assert_eq!(digest(), true_digest);
    assert_eq!(records(), 1);
    // That it is the remembered one shows when the record is forged.
    let record = fs::read_dir(&digests).expect("a folder").next().expect("a record");
    let record = record.expect("an entry").path();
    let honest = fs::read_to_string(&record).expect("a record");
    let hash = honest.split('"').find(|text| text.len() == 64).expect("a hash").to_owned();
    let forge = |text: &str| fs::write(&record, text).expect("a file is written");
    forge(&honest.replace(&hash, &"0".repeat(64)));
    assert_ne!(digest(), true_digest);
    // The same size, another time of change.
    touch(2000);
    assert_eq!(digest(), true_digest);
    assert_eq!(fs::read_to_string(&record).map(|text| text == honest).ok(), Some(false));
    for nonsense in ["", "{}", "\u{0}", &honest.replace(&hash, "zz"), &honest.replace(&hash, "")] {
        forge(nonsense);
        assert_eq!(digest(), true_digest, "{nonsense:?}");
    }
    // The times of the file it replaces do not make another file the same.
    let other = folder.path().join("other.gguf");
    fs::copy(&model, &other).expect("a copy");
    let mut bytes = fs::read(&other).expect("a file");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&other, bytes).expect("a file is written");
    let modified = model.metadata().expect("a file").modified().expect("a time");
    let file = fs::File::options().write(true).open(&other).expect("a file");
    file.set_modified(modified).expect("a time");
    fs::rename(&other, &model).expect("a rename");
    assert_ne!(digest(), true_digest);
}
