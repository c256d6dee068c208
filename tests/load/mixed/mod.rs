//! `load mixed`: all that clients do, right and wrong, in rounds of a minute. After each of them the server must be as it was
//! before: nothing computed, nothing waiting, no KV page held. I/O.

mod answers;
mod ground;
mod raw;
mod right;
mod tally;
mod watch;
mod words;
mod wrong;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::ground::Ground;
use self::tally::Outcome;
use self::watch::Watch;
use crate::dice::Dice;
use crate::error::Error;

/// How long clients act in a round; then come the storm and the calm.
const ACTING: Duration = Duration::from_secs(45);
/// Clients that take half a minute for a request, or to say nothing.
const SLOW: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct MixedArgs {
    /// Address of the server
    #[arg(long)]
    url: String,
    /// Name of the model
    #[arg(long)]
    model: String,
    /// How long it takes
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(1..=10_080))]
    minutes: u16,
    /// The server's process, for its memory and its connections
    #[arg(long)]
    pid: u32,
    /// Clients at once
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Completions that the server takes: its --max-sequences and --queue
    #[arg(long, value_name = "N", default_value = "320", value_parser = clap::value_parser!(u16).range(8..=1024))]
    capacity: u16,
    /// What the clients' choices depend on
    #[arg(long, default_value = "1")]
    seed: u64,
}

pub(crate) async fn run(args: &MixedArgs) -> Result<ExitCode, Error> {
    let ground = Arc::new(Ground::prepare(&args.url, &args.model, args.capacity.into()).await?);
    let watch = Watch::begin(Arc::clone(&ground), args.pid).await?;
    let mut dice = Dice::new(args.seed);
    let end = Instant::now() + Duration::from_secs(60) * args.minutes.into();

    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        slow.spawn(be_slow(Arc::clone(&ground), dice.another(), end));
    }
    let rounds = async {
        while Instant::now() < end {
            round(&ground, args, &mut dice, end).await;
            ground.tally.check("quiet", watch.until_quiet().await);
            watch.say();
        }
        slow.join_all().await;
        ground.tally.check("all places at once", right::all_places(&ground).await);
        watch.end().await;
    };
    tokio::select! {
        () = rounds => {}
        never = watch.health() => match never {},
        gone = watch.memory() => ground.tally.violation("the server", &gone),
    }
    println!("{}", ground.tally.table());
    println!("{}", watch.report());
    Ok(match ground.tally.violations() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Clients that act, each with its next request as soon as the last one is done; then more requests at once than the server
/// takes.
async fn round(ground: &Arc<Ground>, args: &MixedArgs, dice: &mut Dice, end: Instant) {
    let until = end.min(Instant::now() + ACTING);
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        clients.spawn(act(Arc::clone(ground), dice.another(), until));
    }
    clients.join_all().await;
    let mut storm = JoinSet::new();
    for _ in 0..right::storm_requests(ground) {
        let (ground, mut dice) = (Arc::clone(ground), dice.another());
        storm.spawn(async move {
            ground.tally.check("storm", right::storm(&ground, &mut dice).await);
        });
    }
    storm.join_all().await;
}

/// One client.
async fn act(ground: Arc<Ground>, mut dice: Dice, until: Instant) {
    while Instant::now() < until {
        let outcome = match dice.throw(100) {
            0..70 => right::any(&ground, &mut dice).await,
            70..85 => wrong::any(&ground, &mut dice).await,
            _ => raw::leave(&ground, &mut dice).await,
        };
        let (name, found) = outcome;
        let full = matches!(found, Ok(Outcome::Full));
        ground.tally.check(name, found);
        if full {
            // Told to come again later, most clients do.
            tokio::time::sleep(Duration::from_millis(dice.throw(1000) as u64)).await;
        }
    }
}

/// One client that holds a connection and sends next to nothing.
async fn be_slow(ground: Arc<Ground>, mut dice: Dice, until: Instant) {
    while Instant::now() < until {
        let (name, found) = raw::slow(&ground, &mut dice).await;
        ground.tally.check(name, found);
    }
}
