//! Parameters of other servers that would change an answer and that this one does not have: refused by their names, unless
//! they say what holds without them. They are never decoded, whatever they hold. What else is unknown is ignored.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use crate::ask::Ask;
use crate::error::ApiError;

/// Name, what its absence means, and what to do instead. (An empty value is `false`.)
const PARAMETERS: [(&str, bool, &str); 23] = [
    ("prompt_embeds", false, "give a text or token ids"),
    ("chat_template", false, TEMPLATE),
    ("chat_template_kwargs", false, TEMPLATE),
    ("add_generation_prompt", true, TEMPLATE),
    ("continue_final_message", false, TEMPLATE),
    ("documents", false, "put them into a message"),
    ("mm_processor_kwargs", false, "the model reads text only"),
    ("audio", false, "the model answers with text only"),
    ("guided_json", false, FREE),
    ("guided_regex", false, FREE),
    ("guided_choice", false, FREE),
    ("guided_grammar", false, FREE),
    ("structured_outputs", false, FREE),
    ("stop_token_ids", false, "use stop"),
    ("bad_words", false, "use logit_bias"),
    ("allowed_token_ids", false, "use logit_bias"),
    ("logits_processors", false, "use logit_bias"),
    ("min_tokens", false, END),
    ("ignore_eos", false, END),
    ("use_beam_search", false, "use n"),
    ("truncate_prompt_tokens", false, "shorten the prompt"),
    ("include_stop_str_in_output", false, "add the stop text yourself"),
    ("skip_special_tokens", true, "special tokens are no part of a text"),
];

const TEMPLATE: &str = "conversations are written as the model's own template says";
const FREE: &str = "check the answer, or let a job validate its rows";
const END: &str = "use logit_bias against the token that ends a text";

/// A request, and the first parameter in it that is refused.
#[derive(Debug)]
pub(crate) struct Checked<T> {
    request: T,
    /// Its index in the list.
    refused: Option<usize>,
}

impl<T> TryFrom<Checked<T>> for Ask
where
    Ask: TryFrom<T, Error = ApiError>,
{
    type Error = ApiError;

    fn try_from(Checked { request, refused }: Checked<T>) -> Result<Self, ApiError> {
        match refused.and_then(|index| PARAMETERS.get(index)) {
            Some((name, _, advice)) => Err(ApiError::unsupported(*name, advice)),
            None => Ask::try_from(request),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Checked<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object with the request's parameters")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Checked<T>, M::Error> {
                let mut refused = None;
                let map = Watched { map, refused: &mut refused };
                let request = T::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Checked { request, refused })
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// The members of an object, without those of the list.
struct Watched<'a, M> {
    map: M,
    refused: &'a mut Option<usize>,
}

impl<'de, M: MapAccess<'de>> MapAccess<'de> for Watched<'_, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, M::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            let Some(index) = PARAMETERS.iter().position(|(name, ..)| *name == key) else {
                return seed.deserialize(key.into_deserializer()).map(Some);
            };
            let Given(given) = self.map.next_value()?;
            let (_, absent, _) = PARAMETERS[index];
            if given.is_some_and(|given| given != absent) {
                self.refused.get_or_insert(index);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Whether a value says anything; none: it is null.
struct Given(Option<bool>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Given, E> {
        Ok(Given(None))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Given, E> {
        Ok(Given(Some(value)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Given, E> {
        Ok(Given(Some(true)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Given, E> {
        Ok(Given(Some(value != 0)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Given, E> {
        Ok(Given(Some(value != 0.0)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given, E> {
        Ok(Given(Some(!text.is_empty())))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Given, S::Error> {
        let mut any = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(Given(Some(any)))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Given, M::Error> {
        let mut any = false;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(Given(Some(any)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::chat::ChatRequest;
    use serde_json::{Value, json};

    fn refused(extra: (&str, Value)) -> Option<String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[extra.0] = extra.1;
        body["top_k"] = json!(3);
        let checked: Checked<ChatRequest> = serde_json::from_value(body).expect("an object");
        assert_eq!(checked.request.top_k, Some(3), "what follows is read");
        let error = Ask::try_from(checked).err()?.body().error;
        assert_eq!(error.code, "unsupported_parameter");
        error.param
    }

    #[test]
    fn what_would_change_an_answer_is_refused_by_its_name() {
        for (name, absent, _) in PARAMETERS {
            assert_eq!(refused((name, json!(!absent))).as_deref(), Some(name));
            for harmless in [json!(null), json!(absent)] {
                assert_eq!(refused((name, harmless)), None, "{name}");
            }
        }
        for (name, value) in [
            ("prompt_embeds", json!("gAJjdG9yY2gK")),
            ("prompt_embeds", json!(["gAJjdG9yY2gK"])),
            ("chat_template", json!("{{ 1 }}")),
            ("chat_template_kwargs", json!({"enable_thinking": false})),
            ("min_tokens", json!(5)),
            ("stop_token_ids", json!([2])),
        ] {
            assert_eq!(refused((name, value)).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_says_nothing_and_what_is_unknown_pass() {
        for harmless in [json!(""), json!([]), json!({}), json!(0), json!(0.0)] {
            assert_eq!(refused(("prompt_embeds", harmless)), None);
        }
        for unknown in ["user", "store", "metadata", "reasoning_effort", "priority"] {
            assert_eq!(refused((unknown, json!({"any": ["thing"]}))), None, "{unknown}");
        }
    }

    #[test]
    fn a_list_is_no_request() {
        let error = serde_json::from_str::<Checked<ChatRequest>>("[\"m\"]").expect_err("a list");
        assert!(error.to_string().contains("expected a JSON object"), "{error}");
    }
}
