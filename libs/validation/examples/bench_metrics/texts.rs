//! Texts of 20 to 60 words as a model writes them about flights: sentences of patterns with names, numbers and now and then personal
//! data. A row is a function of its number, so that a million of them need no memory.

const SENTENCES: &[&str] = &[
    "{name} waited {n} hours at the {adjective} desk in {city} before anyone from {airline} explained the {problem}.",
    "My {noun} was {verb} on flight {flight} from {city} to {city}, and the {staff} only offered a {adjective} voucher.",
    "The {staff} said that the {problem} had been caused by {cause}, which nobody at the gate could confirm.",
    "I would like a refund of ${amount} because my {noun} has been {verb} since {day}.",
    "Please tell me when the {adjective} {noun} will be {verb}; I have called {n} times without an answer.",
    "We were told to collect our {noun} at belt {n}, but after {n} minutes it was still missing.",
    "{name} and {name} missed their connection in {city} and had to sleep in the {adjective} terminal.",
    "According to the app, flight {flight} leaves at {time} on {day}, yet the board shows {time}.",
    "The {adjective} {staff} in {city} rebooked us within {n} minutes and even found {n} seats together.",
    "However, the {noun} that I ordered for {day} was neither {verb} nor paid back.",
    "On {day}, {airline} changed my seat from {n}A to {n}C without asking, although I had paid ${amount} for it.",
    "Nobody apologised for the {problem}, and the {noun} was handed over with a {adjective} scratch.",
    "Could you send the receipt for the {noun} to {email} before {day}?",
    "You can reach me at {phone} after {time}, or write to {email}.",
    "The whole {problem} is described on {url}, including the pictures of the {adjective} {noun}.",
    "In the end the crew was {adjective}, the food was {adjective}, and we landed in {city} {n} minutes early.",
    "If the {noun} cannot be {verb} by {time}, I will ask my bank to return the ${amount}.",
    "It is the {n}th time this year that {airline} has {verb} my {noun} between {city} and {city}.",
];

const NAMES: &[&str] = &[
    "Anna",
    "Mr. Okafor",
    "Li Wei",
    "Mrs. Jensen",
    "Carlos",
    "Fatima",
    "Dr. Novak",
    "Priya",
    "Tom",
    "Ms. Haddad",
    "Yuki",
    "Elena",
];
const CITIES: &[&str] = &[
    "Frankfurt",
    "Nairobi",
    "São Paulo",
    "Singapore",
    "Denver",
    "Oslo",
    "Lisbon",
    "Osaka",
    "Toronto",
    "Doha",
    "Lima",
    "Zürich",
    "Dublin",
    "Perth",
    "Cairo",
    "Austin",
];
const AIRLINES: &[&str] =
    &["Skyline", "Northern Air", "Blue Wing", "Transglobal", "Meridian", "Albatros"];
const ADJECTIVES: &[&str] = &[
    "crowded",
    "friendly",
    "delayed",
    "small",
    "broken",
    "helpful",
    "noisy",
    "empty",
    "new",
    "expensive",
    "cold",
    "polite",
    "confusing",
    "clean",
    "late",
    "wrong",
    "heavy",
    "modest",
    "quick",
    "tired",
];
const NOUNS: &[&str] = &[
    "suitcase",
    "ticket",
    "upgrade",
    "boarding pass",
    "stroller",
    "refund",
    "meal",
    "reservation",
    "backpack",
    "connection",
    "seat",
    "wheelchair",
    "guitar",
    "visa",
    "parcel",
    "transfer",
];
const VERBS: &[&str] = &[
    "cancelled",
    "lost",
    "delivered",
    "damaged",
    "confirmed",
    "changed",
    "refused",
    "promised",
    "postponed",
    "repaired",
    "checked",
    "forgotten",
];
const STAFF: &[&str] =
    &["agent", "supervisor", "steward", "ground crew", "pilot", "manager", "clerk"];
const PROBLEMS: &[&str] = &[
    "delay",
    "overbooking",
    "strike",
    "gate change",
    "cancellation",
    "mix-up",
    "double charge",
    "long queue",
];
const CAUSES: &[&str] = &[
    "bad weather",
    "a technical fault",
    "missing crew",
    "air traffic control",
    "a late aircraft",
    "a computer failure",
];
const DAYS: &[&str] = &[
    "Monday",
    "Tuesday",
    "3 May",
    "12 June 2024",
    "Friday",
    "the 21st",
    "2024-08-17",
    "Sunday evening",
];
const HOSTS: &[&str] = &["example.com", "mail.example.org", "travel.example.net"];

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn digits(&mut self, count: u32) -> u64 {
        self.below(9 * 10_u64.pow(count - 1)) + 10_u64.pow(count - 1)
    }

    fn slot(&mut self, name: &str) -> String {
        let list = match name {
            "name" => NAMES,
            "city" => CITIES,
            "airline" => AIRLINES,
            "adjective" => ADJECTIVES,
            "noun" => NOUNS,
            "verb" => VERBS,
            "staff" => STAFF,
            "problem" => PROBLEMS,
            "cause" => CAUSES,
            "day" => DAYS,
            "n" => return (self.below(48) + 2).to_string(),
            "amount" => {
                return format!(
                    "{},{:03}.{:02}",
                    self.below(9) + 1,
                    self.below(1_000),
                    self.below(100)
                );
            }
            "flight" => return format!("{}{}", self.of(&["LH", "BA", "QF", "XY"]), self.digits(3)),
            "time" => return format!("{}:{:02}", self.below(24), self.below(60)),
            "email" => {
                return format!(
                    "{}.{}@{}",
                    self.of(&["anna", "li", "tom", "priya"]),
                    self.digits(3),
                    self.of(HOSTS)
                );
            }
            "phone" => return format!("+49 30 {}", self.digits(7)),
            _ => return format!("https://www.{}/case/{}", self.of(HOSTS), self.digits(5)),
        };
        self.of(list).to_owned()
    }

    fn sentence(&mut self) -> String {
        let mut sentence = String::new();
        let mut rest = self.of(SENTENCES);
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, slot)| Some((before, slot.split_once('}')?)))
        {
            sentence.push_str(before);
            sentence.push_str(&self.slot(name));
            rest = after;
        }
        sentence + rest
    }

    fn text(&mut self) -> String {
        let least = 20 + self.below(25) as usize;
        let mut text = self.sentence();
        while text.split(' ').count() < least {
            text = text + " " + &self.sentence();
        }
        text
    }

    /// The text with some words replaced or left out.
    fn changed(&mut self, text: &str, percent: u64) -> String {
        let mut words: Vec<&str> = Vec::new();
        for word in text.split(' ') {
            match self.below(100) {
                change if change >= percent => words.push(word),
                change if change % 4 > 0 => words.push(self.of(NOUNS)),
                _ => {}
            }
        }
        words.join(" ")
    }
}

/// The text of a row and its reference: one of 100 is an earlier one's, and three are nearly.
pub(crate) fn row(seed: u64, number: u64) -> (String, String) {
    let mut chance = Chance::new(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
    let earlier = |chance: &mut Chance| {
        let number = chance.below(number.max(1));
        Chance::new(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f) ^ 1).text()
    };
    let text = match chance.below(100) {
        0 => earlier(&mut chance),
        1..=3 => {
            let text = earlier(&mut chance);
            chance.changed(&text, 2)
        }
        _ => Chance::new(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f) ^ 1).text(),
    };
    let reference = chance.changed(&text, 20);
    (text, reference)
}
