//! `textnlp generate --interactive`: a conversation that ends in a manifest.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use textnlp_crds::sampling::ResolvedSampling;
use textnlp_dataset::display;
use textnlp_dataset::template::Templates;
use textnlp_generation::completer::{ChatMessage, Prompt, Request};
use textnlp_generation::engine::{EngineCompleter, EngineModel};
use textnlp_telemetry::trace::TraceContext;

use crate::args::GenerateArgs;
use crate::commands::generate::{complete, seed};
use crate::failure::Failure;
use crate::{note, print_text};

const HELP: &str = "\
text                     a turn of the conversation; {{ name }} stands for a value of the record
/record NAME=VALUE ...   sets values of the record; without any, shows it
/set NAME VALUE          sets temperature, topP, topK, minP, repetitionPenalty, maxTokens, stop or seed
/system TEXT             sets the system message
/reset                   forgets the conversation
/save job.yaml           writes a manifest that makes a dataset with the last prompt
/help, /quit
";

/// What a conversation has come to.
struct Session<'a> {
    engine: &'a Arc<EngineCompleter>,
    model: &'a Path,
    chat: bool,
    sampling: ResolvedSampling,
    system: Option<String>,
    record: Map<String, Value>,
    turns: Vec<ChatMessage>,
    /// The last turn as it was typed: a template.
    last: Option<String>,
}

pub(crate) fn run(
    args: &GenerateArgs,
    model: &EngineModel,
    engine: &Arc<EngineCompleter>,
    sampling: ResolvedSampling,
    chat: bool,
) -> Result<(), Failure> {
    let mut session = Session {
        engine,
        model: &args.model,
        chat,
        sampling,
        system: args.system.clone(),
        record: Map::new(),
        turns: Vec::new(),
        last: None,
    };
    let prompting = std::io::stdin().is_terminal();
    note(&format!(
        "{} ({}); /help lists the commands",
        args.model.display(),
        model.facts().numerics
    ));
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompting {
            eprint!("> ");
        }
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line.map_err(|e| Failure::failed(format!("cannot read standard input: {e}")))?;
        match session.line(line.trim()) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A mistake ends a line, not the conversation.
            Err(Failure { message, .. }) => {
                note(&format!("error: {}", message.unwrap_or_default()))
            }
        }
    }
}

impl Session<'_> {
    /// Does what a line says; false at the end.
    fn line(&mut self, line: &str) -> Result<bool, Failure> {
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match verb {
            "" => {}
            "/quit" | "/exit" => return Ok(false),
            "/help" => print_text(HELP),
            "/reset" => self.turns.clear(),
            "/system" => self.system = (!rest.is_empty()).then(|| rest.to_owned()),
            "/record" => self.set_record(rest)?,
            "/set" => self.set(rest)?,
            "/save" => self.save(rest)?,
            _ if verb.starts_with('/') => {
                return Err(Failure::usage(format!("{verb} is no command; /help lists them")));
            }
            _ => self.turn(line)?,
        }
        Ok(true)
    }

    fn turn(&mut self, line: &str) -> Result<(), Failure> {
        let template = Templates::default().compile("prompt", line).map_err(Failure::usage)?;
        let content = template.render(&[&self.record]).map_err(Failure::usage)?;
        let prompt = if self.chat {
            self.turns.push(ChatMessage { role: "user", content });
            let system =
                self.system.iter().map(|s| ChatMessage { role: "system", content: s.clone() });
            Prompt::Chat(system.chain(self.turns.iter().cloned()).collect())
        } else {
            Prompt::Text(content)
        };
        let request = Request {
            prompt,
            sampling: self.sampling.clone(),
            seed: seed(&self.sampling),
            record: 0,
            trace: TraceContext::default(),
        };
        let result = complete(self.engine, &request, |text| print_text(&display::terminal(text)));
        print_text("\n");
        match result {
            Ok(done) if self.chat => {
                self.turns.push(ChatMessage { role: "assistant", content: done.text })
            }
            Ok(_) => {}
            Err(error) => {
                self.turns.pop();
                return Err(error);
            }
        }
        self.last = Some(line.to_owned());
        Ok(())
    }

    fn set_record(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            print_text(&format!("{}\n", Value::Object(self.record.clone())));
            return Ok(());
        }
        // One value may hold spaces, several are told apart by their names.
        let mut names: Vec<(usize, usize)> = Vec::new();
        for (at, _) in text.match_indices('=') {
            let start = text[..at].rfind(char::is_whitespace).map_or(0, |space| space + 1);
            names.push((start, at));
        }
        if names.first().is_none_or(|(start, _)| *start != 0) {
            return Err(Failure::usage("expected /record NAME=VALUE ..."));
        }
        for (index, &(start, at)) in names.iter().enumerate() {
            let end = names.get(index + 1).map_or(text.len(), |(next, _)| *next);
            let (name, value) = (&text[start..at], text[at + 1..end].trim());
            self.record.insert(name.to_owned(), json!(value));
        }
        Ok(())
    }

    fn set(&mut self, text: &str) -> Result<(), Failure> {
        let (name, value) = text.split_once(char::is_whitespace).ok_or_else(|| {
            Failure::usage("expected /set NAME VALUE, as in /set temperature 0.2")
        })?;
        let mut fields = serde_json::to_value(&self.sampling).map_err(Failure::failed)?;
        let known: Vec<String> =
            fields.as_object().into_iter().flat_map(|f| f.keys().cloned()).collect();
        let field = fields.get_mut(name).ok_or_else(|| {
            Failure::usage(format!("{name:?} is no sampling field; there are {}", known.join(", ")))
        })?;
        *field = if name == "stop" {
            json!([value.trim()])
        } else {
            value
                .trim()
                .parse::<serde_json::Number>()
                .map(Value::Number)
                .map_err(|_| Failure::usage(format!("{value:?} is no number")))?
        };
        self.sampling =
            serde_json::from_value(fields).map_err(|e| Failure::usage(format!("{name}: {e}")))?;
        Ok(())
    }

    /// Writes the conversation's last prompt as a job over the record.
    fn save(&self, file: &str) -> Result<(), Failure> {
        let prompt = self.last.as_ref().ok_or_else(|| {
            Failure::usage("say something first: the job's prompt is the last turn")
        })?;
        if file.is_empty() {
            return Err(Failure::usage("expected /save job.yaml"));
        }
        let path = Path::new(file);
        let name: String =
            (path.file_stem().and_then(|s| s.to_str()).unwrap_or("job").to_lowercase().chars())
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
        let name = match name.trim_matches('-') {
            "" => "job",
            name => name,
        };
        let model = std::path::absolute(self.model).map_err(Failure::failed)?;
        let mut column = json!({"name": "text", "prompt": prompt});
        if let (Some(system), true) = (&self.system, self.chat) {
            column["system"] = json!(system);
        }
        if !self.chat {
            column["mode"] = json!("Completion");
        }
        let mut spec = json!({"modelRef": {"name": "model"}});
        if !self.record.is_empty() {
            spec["source"] = json!({"inline": {"records": [self.record]}});
        }
        spec["sampling"] = serde_json::to_value(&self.sampling).map_err(Failure::failed)?;
        spec["columns"] = json!([column]);
        let documents = [
            json!({
                "apiVersion": textnlp_crds::API_VERSION, "kind": "ModelDeployment", "metadata": {"name": "model"},
                "spec": {"source": {"file": {"path": model.display().to_string()}}},
            }),
            json!({"apiVersion": textnlp_crds::API_VERSION, "kind": "GenerationJob", "metadata": {"name": name}, "spec": spec}),
        ];
        let mut text = String::new();
        for document in &documents {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(document).map_err(Failure::failed)?);
        }
        let file = std::fs::File::create_new(path)
            .map_err(|e| Failure::failed(format!("cannot write {file}: {e}")))?;
        std::io::Write::write_all(&mut { file }, text.as_bytes()).map_err(Failure::failed)?;
        note(&format!("wrote {}: run it with  textnlp run {}", path.display(), path.display()));
        Ok(())
    }
}
