//! Top-level domains.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Those that Presidio 2.2.366's `UrlRecognizer` lists, without md, mov, ps, py, rs and sh: `main.rs` is a file.
const DOMAINS: &str = "\
    ac academy accountant accountants actor ad adult ae af africa ag agency ai airforce al am an ao apartments app aq ar \
    archi army art as asia associates at attorney au auction audio auto autos aw ax az ba baby band bar bargains bb bd be \
    beer berlin best bet bf bg bh bi bid bike bio bj black blackfriday blog blue bm bn bo boats bond boo boston bot \
    boutique br bs bt build builders business buzz bv bw by bz ca cab cafe cam camera camp capital car cards care careers \
    cars casa cash casino catering cc cd center ceo cf cfd cg ch charity chat cheap christmas church ci city ck cl claims \
    cleaning click clinic clothing cloud club cm cn co codes coffee college com community company computer condos \
    construction consulting contact contractors cooking cool coupons courses cr credit creditcard cricket cruises cu cv cw \
    cx cy cyou cz dad dance date dating day de degree delivery democrat dental dentist desi design dev diamonds diet \
    digital direct directory discount dj dk dm do doctor dog domains download dz earth ec eco edu education ee eg email \
    energy engineer engineering enterprises equipment er es esq estate et eu events exchange expert exposed express fail \
    faith family fans farm fashion feedback fi film finance financial fish fishing fit fitness fj fk flights florist \
    flowers fm fo football forsale foundation fr fun fund furniture futbol fyi ga gallery game games garden gay gb gd gdn \
    ge gf gg gh gi gifts gives giving gl glass global gm gmbh gn gold golf gov gp gq gr graphics gratis green gripe group \
    gs gt gu guide guitars guru gw gy hair hamburg haus health healthcare help hiphop hk hm hn hockey holdings holiday \
    homes horse hospital host hosting house how hr ht hu icu id ie il im in info ink institute insure int international \
    investments io iq ir irish is it je jetzt jewelry jm jo jp juegos kaufen ke kg kh ki kids kitchen kiwi km kn kp kr krd \
    kw ky kyoto kz la land lat law lawyer lb lc lease legal lgbt li life lighting limited limo link live lk loan loans lol \
    london love lr ls lt ltd ltda lu luxury lv ly ma maison management market marketing markets mba mc me media melbourne \
    meme memorial men mg mh miami mil mk ml mm mn mo mobi moda moe mom money monster mortgage motorcycles movie mp mq mr \
    ms mt mu mv mw mx my mz na nagoya name navy nc ne net network new news nf ng ngo ni ninja nl no now np nr nu nyc nz \
    observer okinawa om one ong onl online org organic osaka pa page paris partners parts party pe pet pf pg ph phd photo \
    photography photos pics pictures pink pizza pk pl place plumbing plus pm pn poker porn pr press pro productions prof \
    promo properties property protection pt pub pw qa quest racing re recipes red rehab reise reisen rent rentals repair \
    report republican rest restaurant review reviews rip ro rocks rodeo rsvp ru run rw sa saarland sale salon sarl sb sbs \
    sc school schule science sd se services sex sexy sg shoes shop shopping show si singles site sj sk skin sl sm sn so \
    soccer social software solar solutions soy space spiegel sr st study style su sucks supply support surf surgery sv sx \
    sy systems sz tax taxi tc td team tech technology tel tf tg th theater tips tires tj tk tl tm tn to today tools top \
    tours town toys tp tr trade training tt tube tv tw tz ua ug uk university uno us uy uz va vacations vc ve ventures vet \
    vg vi video villas vin vip vision vlaanderen vn vodka vote voting voyage vu wales wang watch webcam website wedding wf \
    wiki wine work works world ws wtf xxx xyz ye yoga yokohama you yt za zm zone zw";

/// Whether a host may end so; in lower or upper case, since `hours.Please` is no host.
pub(super) fn is_top_level(label: &str) -> bool {
    static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| DOMAINS.split(' ').collect());
    let one_case = label.bytes().all(|byte| byte.is_ascii_lowercase())
        || label.bytes().all(|byte| byte.is_ascii_uppercase());
    one_case && KNOWN.contains(label.to_ascii_lowercase().as_str())
}
