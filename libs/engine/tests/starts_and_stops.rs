//! A model's threads and an engine's, started and stopped a thousand times: none is left, and no memory.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use textnlp_engine::engine::{Engine, EngineConfig, Event, Request};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::sampling::SamplingParams;
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::ModelFiles;

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux has it").count()
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident set");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok());
    kib.expect("a number of KiB") << 10
}

/// Starts a model on two threads and an engine, has it complete a request, and stops both.
fn start_and_stop(tokenizer: &Arc<Tokenizer>) {
    let options = CpuOptions { threads: 2, max_rows: 16, ..CpuOptions::default() };
    let model = CpuModel::load(&common::tiny_llama(), options).expect("a tiny model");
    let engine = Engine::start(Box::new(model), Arc::clone(tokenizer), EngineConfig::default())
        .expect("it starts");
    let (sender, events) = channel();
    let params = SamplingParams { max_tokens: 2, ignore_end: true, ..SamplingParams::default() };
    let request = Request { prompt: vec![1, 2, 3], params, seed: 0, choice: 0 };
    let sink = Box::new(move |event| drop(sender.send(event)));
    let _ticket = engine.submit(request, sink).expect("it runs");
    let last = events.iter().last().expect("events");
    assert!(matches!(last, Event::Finished(_)), "{last:?}");
    engine.shutdown();
}

#[test]
fn a_thousand_starts_and_stops_leave_no_thread_and_no_memory() {
    let files = ModelFiles::open(&common::smollm2_path()).expect("a model");
    let tokenizer = Tokenizer::new(files.tokenizer(), files.special_tokens());
    let tokenizer = Arc::new(tokenizer.expect("its tokenizer"));
    let before = threads();
    // The allocator keeps what it once had.
    (0..100).for_each(|_| start_and_stop(&tokenizer));
    let settled = resident();
    (0..900).for_each(|_| start_and_stop(&tokenizer));
    let grown = resident().saturating_sub(settled);
    // A single forgotten thread's stack, or a model's weights, times 900 would be far more.
    assert!(grown < 16 << 20, "{grown} bytes more after 900 starts");
    // A thread that has been waited for may still be listed for a moment.
    let patience = Instant::now() + Duration::from_secs(60);
    while threads() > before && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(threads(), before);
}
