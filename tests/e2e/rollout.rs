//! Two servers are replaced one after the other under load, and no request is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use textnlp_tests::disturb::{then_undo, together};
use textnlp_tests::{AUDIENCE, Model, Space, eventually, eventually_or, http};

#[test]
fn a_rollout_under_load_loses_no_request() {
    let _undisturbed = together();
    let space = Space::new("rollout");
    space.apply(&Model::small("smollm2").with("replicas", json!(2)).0);
    space.until("mdl/smollm2", "both servers are ready", |o| o["status"]["readyReplicas"] == 2);
    let address = space.address("smollm2");
    let token = space.token("default", Some(AUDIENCE));
    let body = json!({"model": "smollm2", "prompt": "A kettle is", "max_tokens": 4, "seed": 1});
    let body = body.to_string();
    let ask = || match http::post_as(Some(&token), &address, "/v1/completions", &body) {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    // Servers are ready before each node's proxy knows them.
    eventually("the Service answers", ask);
    let before = space.running("server");
    let begun = Instant::now();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lost = std::thread::scope(|scope| {
        let client = || {
            let mut lost = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if let Err(why) = ask() {
                    lost.push(format!("after {:?}: {why}", begun.elapsed()));
                }
            }
            lost
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        space.patch(
            "mdl/smollm2",
            json!({"spec": {"pod": {"annotations": {"example.com/restart": "1"}}}}),
        );
        let new = || {
            let now = space.running("server");
            let old = now.iter().any(|pod| before.contains(pod));
            let ready = space.get("mdl/smollm2")["status"]["readyReplicas"] == 2;
            (!old && ready && now.len() == 2).then_some(())
        };
        then_undo(
            || eventually_or("both servers are new", new, || space.picture()),
            || stop.store(true, Ordering::Relaxed),
        );
        clients.into_iter().flat_map(|c| c.join().expect("a client")).collect::<Vec<String>>()
    });
    assert!(lost.is_empty(), "{} of {} requests: {lost:#?}", lost.len(), asked.into_inner());
}
