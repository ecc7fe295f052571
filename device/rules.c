/* SPDX-License-Identifier: Apache-2.0 */
#include "device/rules.h"

/*
 * The built-in rules of the classifier, as data. Adding one is adding a word to a line.
 *
 * Rules. They stand here in the order of their precedence, which is that of the enum in
 * the header: the first that holds decides. A line is
 *
 *     RULE(ID) = {"name", KIND, need, bar, "word|word|..."}
 *
 * and holds when one of its words was seen, every rule of "need" was seen, and none of
 * "bar". A rule without words (NULL) holds by its conditions alone. FACT decides nothing.
 *
 * Words. Case does not matter, and '-', '_' and ' ' are the same letter. A mark asks for
 * what stands beside the word:
 *
 *     <word   a word begins there      word>   it ends there (no letter or digit behind)
 *                                      word!   no digit behind it
 *     #word   a digit before it        word#   a digit behind it
 *     ^word   a field begins there: at the start, or behind ';', '(' or ','
 *
 * Models. "Android 13; SM-X200 Build/...": the first letters of the model, after makers'
 * names that are stepped over; the longest prefix in the table wins, so an exception to
 * "sm t" is a line with a longer one. A prefix stands here because a maker numbers a
 * series so, and has to be tried on real strings before: two letters hit much.
 *
 * What decides where nothing is known: Mobile on Android is a phone, no Mobile in a
 * browser on Android is a tablet, an application on Android is a phone.
 */

#define BIT(id) ((apr_uint64_t)1 << (DEVCACHE_RULE_##id))
#define RULE(id) [DEVCACHE_RULE_##id]
#define FACT DEVCACHE_KIND_NONE
#define PC DEVCACHE_KIND_PC
#define TABLET DEVCACHE_KIND_TABLET
#define MOBILE DEVCACHE_KIND_MOBILE
#define TV DEVCACHE_KIND_TV
#define BOT DEVCACHE_KIND_BOT
#define CONSOLE DEVCACHE_KIND_CONSOLE

/* clang-format off */
const devcache_device_rule_t devcache_device_rules[DEVCACHE_RULES] = {
    /* ---- facts: they decide nothing, other rules ask for them ---- */

    /* Some televisions write it with a zero, UCWEB shortens it; FB4A is Facebook. */
    RULE(ANDROID) = {"android", FACT, 0, 0, "android|andr0id|<adr #|fb4a"},
    /* Chromium's mark of a phone, which some tablets and boxes send as well. */
    RULE(MOBILE_WORD) = {"says-mobile", FACT, 0, 0, "<mobile|mobilesafari"},
    RULE(WINDOWS) = {"windows", FACT, 0, 0, "windows nt|win64|windows 9|win98"},
    /* Names something that people sit at, so it is not a mere program. */
    RULE(SYSTEM) = {"system", FACT, 0, 0,
        "windows|win32|win64|macintosh|mac os|macos|mac_powerpc|darwin|cfnetwork|linux|"
        "x11|ubuntu|freebsd|openbsd|amiga|risc os|haiku|beos|os/2|sunos|applewebkit|"
        "gecko|desktop|iphone|<ios|freemint|webexplorer|microsoft office|"
        "microsoft edge|openvms"},
    /* Names a browser, an engine or a shell of one. */
    RULE(BROWSER) = {"browser", FACT, 0, 0,
        "mozilla /|opera/|ozilla/|lynx/|links |elinks|w3m/|dillo/|netsurf|mosaic|"
        "ibrowse|icab|midori|konqueror|ucweb|webkit|firefox|safari|chrome/|browser|"
        "fban/|voyager|arachne|arora"},
    /* What follows it is skipped: see device/agent.c. */
    RULE(ENGINE) = {"engine", FACT, 0, 0, "applewebkit/"},
    RULE(SAFARI) = {"safari", FACT, 0, 0, "safari/"},
    /* A browser in the cloud: a Linux string, the device in two letters at its end. */
    RULE(PUFFIN) = {"puffin", FACT, 0, 0, "puffin/"},
    /* Contains a bot's word or a link, but people use it: CUBOT makes phones, and feed
       readers and embedded browsers advertise their site. */
    RULE(NOT_BOT) = {"not-bot", FACT, 0, 0,
        "cubot|fban/|fb_iab|fbav/|podcast app|thepodcast|ds podcast|bsalsa|"
        "embedded web browser|instapaper|feeddemon|feedstation|liferea|netnewswire|"
        "macos; rss"},
    /* What is compatible without being a program: browsers of before 2010, phones. */
    RULE(OLD_BROWSER) = {"old-browser", FACT, 0, 0,
        "msie|konqueror|trident|icab|netfront|omniweb|khtml/|webtv|opera|iemobile|"
        "midp|nokia|symbian|palm|blackberry|applewebkit|browser"},
    /* A payload of an attack, or a bare name that is an application of people: such
       strings are not known to crawl. */
    RULE(NOT_NAME) = {"not-name", FACT, 0, 0,
        "'(|')|\"<|<?|(select|select(|sleep(|union |' or|\" or|<script|${|%27|mozac|"
        "pinterest/|spotify|hulu|netflix|quicktime|itunes|citrix|onedrive|outlook|"
        "wechat|micromessenger|samsung|custom client|intellij|handbrake|omniweb|"
        "delivery optimization|skype|zoom|slack|discord|viber/|instagram|snapchat|"
        "tiktok|musical_ly|retweet|steam|epic|vivaldi|thunderbird|evolution|mutt|"
        "akregator|wap|sch r|lgu#|<gt #|sgh|ericsson|psion|epoc|haier|archos"},
    /* Phones and tablets with a TV tuner or with "tv" in their name. */
    RULE(NOT_TV) = {"not-tv", FACT, 0, 0,
        "dtv|bntv|tvr10|tvm|stv10#|joy tv|joy7 tv|note tv|gtv#|htv3#|letv x|natv|<btv |"
        "hitv#|kempler tv|avatar tv"},
    /* Phones that have a tablet's word in their maker's name. */
    RULE(NOT_TABLET) = {"not-tablet", FACT, 0, 0,
        "coolpad|touchpad mouse|tech pad|padfone"},

    /* ---- programs ---- */

    /* Crawlers, monitors, previews, archivers by name, whatever device they imitate. */
    RULE(BOT) = {"bot", BOT, 0, BIT(NOT_BOT),
        "bot/|bot-|robot|crawl|spider|slurp|site24x7|pingdom|gtmetrix|ptst/|speedcurve|"
        "statuscake|dareboost|catchpoint|ghostinspector|ghost inspector|ruxitsynthetic|"
        "dynatracesynthetic|datadogsynthetics|facebookexternalhit|facebookcatalog|"
        "externalagent|skypeuripreview|mediapartners|google favicon|google web preview|"
        "googleother|google read aloud|google inspection|google adwords|"
        "google site verification|google structured|feedfetcher|apis google|duplexweb|"
        "google lens|google agent|google extended|google safety|ia_archiver|nutch|"
        "heritrix|larbin|htdig|ht://dig|mnogosearch|netcraft|nessus|nikto|sqlmap|"
        "masscan|zgrab|ahrefs|semrush|mj12|dotbot|screaming frog|siteimprove|sitebulb|"
        "sistrix|xenu|yandex.translate|yandeximages|yandexmetrika|yandexdirect|"
        "yandexfavicons|yandexmedia|yandexblogs|yandexnews|yahoo pipes|ysearch|daumoa|"
        "sogou web|sogou pic|sogou inst|sogou news|sogou head|bingpreview|adidxbot|"
        "msnptc|ltx71|chatgpt user|perplexity|claude user|anthropic|cohere ai|gptbot|"
        "applebot|petalbot|tineye|copperegg|watchmouse|webcollage|neustar|newrelic|"
        "seostat|seokicks|seoscanners|phantomjs|slimerjs|puppeteer|playwright|"
        "webdriver|ips agent|gomezagent|alertsite|nagios|zabbix|check_http|w3c_|w3c/|"
        "archive.org|con_aff|hubspot|feedly|feedburner|feedbin|inoreader|bloglines|"
        "simplepie|wordpress/|wordpress.com|vagabondo|google image|naver blog|yeti/|"
        "exabot|qwantify|bubing|grub client|ichiro|teoma|ask jeeves|altavista|gigabot|"
        "gigablast|openfind|looksmart|sectigo|letsencrypt|let's encrypt|digicert|"
        "qcloudcdn|keycdn|hwcdn|amazon cloudfront|imgproxy|whatcms|wappalyzer|"
        "builtwith|detectify|acunetix|qualys|zaproxy|openvas|whatweb|wpscan|dirbuster|"
        "copyscape|adsbot|adstxt|ads txt|ads.txt|metauri|urlresolver|linkresolver|"
        "http monitor|web monitor|bot)|bot;|bot,|uptime/|uptime.com|chrome lighthouse|"
        "seznam screenshot|seznambot|like gecko;|headlesschrome|headlessedg|jsdom/|"
        "agent novaact|mistralai user|manus user|gemini deep research|"
        "google notebooklm|amzn user|tavily|firecrawl|img2dataset|cotoyogi|"
        "amazon kendra|meta external|<devin/|crawl4ai|browser use/|stagehand/"},
    /* Words of the trade that applications on phones have in their names as well. */
    RULE(BOT_WORD) = {"bot-word", BOT, 0,
        BIT(NOT_BOT) | BIT(ANDROID) | BIT(IPHONE) | BIT(IPAD),
        "bot>|bots>|bot#|<bot|scrap|fetcher|validator|checker|checklink|linkcheck|"
        "monitoring|monitor/|scanner/|<scanner>|preview|screenshot|uptime|synthetic|"
        "embedly|outbrain|analyzer|analyser|inspector|keynote|jigsaw|snapshot|probe|"
        "survey|harvest|collector|grabber|sniffer|verifier|extractor|indexer|"
        "feed parser|feedparser|image proxy|imageproxy|mail.ru|headline|insights|"
        "plagiarism|<research|academic|experiment>|contact@|abuse@|admin@|info@|"
        "support@|favicon|sitemap|unfurl|oembed|splash|prerender|^whatsapp/|telegram|"
        "netvibes|newsblur|tumblr/|scooter|lycos|nmap|burp|fastly|cloudflare|"
        "github camo|daum/|censys|archiver|selenium|cypress|subscribers|"
        "magpierss|dmbrowser|lighthouse|anonymous,"},
    /* HTTP libraries, command line tools, load generators. */
    RULE(TOOL) = {"tool", BOT, 0, BIT(NOT_BOT),
        "<curl/|<curl |wget|python|^java/|^java#|libwww perl|lwp::|lwp |go http client|"
        "go resty|<httpclient|apache httpclient|commons httpclient|http client|"
        "http_request|httprequest|httpie|httpunit|htmlunit|guzzle|axios/|node fetch|"
        "node.js|nodejs|undici|^ruby|<ruby/|perl/|^php/|php |zend_http|pear |pecl|"
        "mechanize|aiohttp|httpx/|requests/|urllib|scrapy|winhttp|wininet|"
        "libcurl agent|lavf/|insomnia/|postman|restsharp|jersey/|jakarta|typhoeus|"
        "faraday|excon|hackney|reqwest|ureq/|dart/|dart:io|apachebench|siege/|jmeter|"
        "loadrunner|locust|k6/|wrk/|vegeta|gatling|webdav|davclnt|fasthttp|colly|"
        "akka http|vert.x|<netty/|async http|asynchttp|rest client|restclient|"
        "powershell|bits/#|msxml|xmlhttp|httrack|webcopier|webzip|teleport|"
        "offline explorer|webreaper|wfuzz|libfetch|fetch api|snoopy|qtnetwork"},
    /* People's browsers do not explain themselves by a link; programs that behave do. */
    RULE(LINK) = {"bot-link", BOT, 0, BIT(NOT_BOT),
        "http:/|https:/|<www.|<mailto:|@gmail.com"},
    /* "Mozilla/5.0 (compatible; NAME)", without an engine: no browser of these years. */
    RULE(COMPATIBLE) = {"bot-compatible", BOT, 0,
        BIT(NOT_BOT) | BIT(OLD_BROWSER) | BIT(ANDROID),
        "^mozilla/5.0 (compatible;"},

    /* ---- devices of few visitors, by name ---- */

    /* Handheld consoles: a phone's screen. Before their big sisters, whose names they
       contain. */
    RULE(HANDHELD) = {"handheld", MOBILE, 0, 0,
        "playstation vita|switch lite|gameboy|playstation portable|<psp|nintendo 3ds|"
        "nintendo ds|nitro)|n gage|gamegadget|archos gamepad|gpd xd|<wikipad"},
    /* At the television; the Xbox says Windows, the PlayStation may say SmartTV. */
    RULE(CONSOLE) = {"console", CONSOLE, 0, 0,
        "playstation 2|playstation2|segasaturn|playstation 3|playstation 4|"
        "playstation 5|<ps3>|<ps4>|<ps5>|xbox|nintendo wii|<wii|wiiu|nintendo swi|"
        "ouya|dreamcast|nintendobrowser|gamecube|steam deck"},
    /* Virtual reality: a large virtual screen and a pointer. */
    RULE(HEADSET) = {"headset", PC, 0, 0,
        "oculus|<quest 2|<quest 3|<quest pro|meta quest|mobile vr|picobrowser|"
        "<pico neo|<pico 4|vive focus|hololens|<glass 1|wolvic|firefox reality|<vr;|"
        "<sm i6#"},
    RULE(WEARABLE) = {"wearable", MOBILE, 0, 0,
        "watch#|watchos|apple watch|wear os|smartwatch|galaxy watch|sm r8|sm r7|sm r9|"
        "fitbit|gear s2|gear s3|gear fit"},
    /* Screens in cars: touch, ten inches or more. */
    RULE(CAR) = {"car", TABLET, 0, 0, "tesla/|automotive|<car>|carbrowser|polestar"},
    /* By name. Build/QT.., RT.. are Android TV's branches; not PP and PQ, which are also
       the firmware of phones (Build/PPR2 is a Pixel's). */
    RULE(TV) = {"tv", TV, 0, 0,
        "smart tv|smarttv|googletv|google tv|android tv|androidtv|<atv|appletv|"
        "apple tv|tvos|hbbtv|web0s|webos.tv|netcast|roku|crkey|chromecast|bravia|"
        "<viera|aquostv|aquos tv|<aft#|<afta|<aftb|<aftc|<aftd|<afte|<aftg|<afth|<aftj|"
        "<aftk|<aftl|<aftm|<aftn|<aftp|<aftr|<afts|<aftt|<aftw|fire tv|firetv|nettv|"
        "net tv|opera tv|viacast|tizen tv|mitv|mi tv|mibox|mi box|nvidia shield|"
        "shield android|<omi/|model/vestel|vstvb|vizio|vidaa|sonydtv|netrange|ce html|"
        "youview|freesat|skystb|<stb|_stb|settop|set top|brightsign|espial|opentv|"
        "maple20|<webtv|aquosbrowser|hybridcast|kreatv|<tivo|dunehd|philipstv|"
        "philips tv|toshibatp|loewe|technisat|humax|sagemcom|ciscobrowser|nexus player|"
        "adt 1>|adt 2>|adt 3>|xbmc|boxee|popcorn|<tbrowser|zeasn|gfibertv|google fiber|"
        "smartbox|smart box|tv box|tvbox|android box|androidbox|<box>|#box>|ott box|"
        "<mag2|<mag4|aminet|tv safari|) tv|; tv>|<tv>|<ptv|<iptv|samsung agent|"
        "watchfree|coolita|<stv;|<kepler/|sanyo browser|dlnadoc|model/sony kdl|dmost|"
        "bigscreen|redlineclient|_vlc/|astro;|build/ptt|build/pto|build/pts|build/qt|"
        "build/rt|build/stt|build/ttt|build/utt|build/ns#|escape 5|titanos|titan os"},
    /* Set by the table of models. */
    RULE(TV_MODEL) = {"tv-model", TV, 0, 0, ""},
    /* Words that mean a television only in the name of an Android device. */
    RULE(TV_ANDROID) = {"tv-android", TV, BIT(ANDROID), BIT(NOT_TV),
        "tv>|<tv|tv#|ktv|tvap|tvbox|<shell |led#|led >|<a95x|<x96|<4k>|<uhd|<m8s|<mxq|"
        "box>|redbox|skystream|mecool|me cool"},
    /* No desktop runs these; a Raspberry Pi says X11 before it. */
    RULE(TV_LINUX) = {"tv-linux", TV, 0, BIT(ANDROID) | BIT(MOBILE_WORD),
        "(linux arm|linux mips|directfb"},

    /* ---- phones before Android, Windows Phone, Apple ---- */

    /* Before Android and iPhone, and KaiOS: by platform, by microbrowser, by maker. */
    RULE(FEATURE_PHONE) = {"feature-phone", MOBILE, 0, BIT(ANDROID) | BIT(IPAD),
        "midp|cldc|j2me|up.browser|up.link|docomo|foma|kddi|<j phone|softbank|"
        "vodafone/|symbian|series60|series40|series 60|<s60|brew |brew/|brewmp|nokia|"
        "blackberry|bb10|rim9|rim8|kaios|kai os|windows ce|windows mobile|wince|palmos|"
        "palm |palmsource|<palm|webos/|hpwos/1|hpwos/2|bada|maemo|meego|obigo|teleca|"
        "openwave|polaris|dorado|wap browser|maui|mre/|mtk|jig browser|blazer|minimo|"
        "iemobile|pocketpc|240x320|320x320|<lge|<lg/|<lg #|<mot |<mot/|motorola|<sec |"
        "<samsung sgh|<samsung gt|<samsung sch|<samsung sph|sonyericsson|<sie |siemens|"
        "<sagem|<alcatel|<benq|<sanyo|<sharp|<htc|<zte|<huawei/|<karbonn|<micromax|"
        "<lava|<spice|<nexian|<cricket|<kyocera|ddipocket|<willcom|<pantech|<philips|"
        "opera mini|opera mobi|ucweb|uc browser|ucbrowser/|mini browser|<juc |jblend|"
        "novarra|profile/|configuration/|vendorid/|<hiptop|fennec|<pda|elaine|zaurus|"
        "gobrowser|semc browser|bolt/|teashark|danger|fuchsia|tizen #|tizen/|sailfish|"
        "firefox os|ubuntu; mobile|livedoor mobile"},
    /* The profile of a feature phone, or the date of its software. */
    RULE(PROFILE) = {"phone-profile", MOBILE, BIT(ANDROID), 0, "profile/midp|<release/"},
    /* Also in its desktop mode (WPDesktop, XBLWP). Claims Android and iPhone too. */
    RULE(WINDOWS_PHONE) = {"windows-phone", MOBILE, 0, 0,
        "windows phone|wpdesktop|iemobile|lumia|xblwp|zunewp|windowsphone"},
    RULE(IPAD) = {"ipad", TABLET, 0, 0, "<ipad|ipados"},
    RULE(IPHONE) = {"iphone", MOBILE, 0, 0, "iphone|ipod|<iph#|ios;|<ios/|<ios #"},
    /* An iPad's web view in an application: it says Macintosh but keeps Mobile/. With
       Safari/ behind it, a browser was asked for the desktop site and shall get it. */
    RULE(MAC_MOBILE) = {"mac-mobile", TABLET, BIT(MOBILE_WORD), BIT(SAFARI), "macintosh"},
    RULE(MAC) = {"mac", PC, 0, 0, "macintosh"},

    /* ---- Android and the rest ---- */

    /* Set by the table of models, as is the next. */
    RULE(TABLET_MODEL) = {"tablet-model", TABLET, 0, 0, ""},
    /* Set by the form of a model's number: see device/agent.c. */
    RULE(TABLET_NUMBER) = {"tablet-number", TABLET, 0, 0, ""},
    RULE(MOBILE_MODEL) = {"mobile-model", MOBILE, 0, 0, ""},
    /* Set when an Android model has the diagonal of a television in its name. */
    RULE(TV_INCH) = {"tv-inches", TV, 0, 0, ""},
    /* Android on a laptop: Chromebooks' applications, Android-x86. */
    RULE(CHROMEBOOK) = {"android-pc", PC, BIT(ANDROID), 0,
        "chromebook|chromebox|pixelbook|elitebook|probook|inspiron|latitude|vostro|"
        "travelmate|aspire|satellite|thinkpad x|macbook|waydroid|remix|easynote|"
        "bluestacks|netbook|notebook|desktop"},
    /* By name, on any system but Windows ("Tablet PC 2.0" is on desktops, too). E-readers
       are tablets here. */
    RULE(TABLET) = {"tablet", TABLET, 0, BIT(WINDOWS) | BIT(NOT_TABLET),
        "tablet|kindle|silk/|playbook|touchpad|<nook|kobo|tolino|pocketbook|ereader|"
        "<iriver|remarkable|cybook|sony prs|lepad|/apad|galaxy tab|mediapad|matepad|"
        "xoom|transformer"},
    /* Series and makers of tablets, too short or too common to mean it elsewhere.
       Xiaomi's pads have RP behind the digits of their number. */
    RULE(TABLET_NAME) = {"tablet-name", TABLET, BIT(ANDROID), BIT(NOT_TABLET),
        "<tablette|<nexus 7|<nexus 9|<nexus 10|<honorpad|tab>|<tab|<tab #|#tab|pad>|"
        "<pad #|pad#|<ideatab|<yoga tab|<bnrv|<bnt|<e reader|<boox|<iriver|<e-book|"
        "<hpwos|<iconia|<streak 7|jetstream|<pixel c>|pixel tablet|<zenpad|<memo pad|"
        "<eee pad|<me173|<me301|<me302|<ideapad|<thinkpad|<smarttab|smart tab|<teclast|"
        "<chuwi|<onda|<ramos|<ainol|<novo #|<novo#|alldocube|<iplay#|<iplay #|<iplay>|"
        "<hipad|<hi10|<multipad|digma plane|<plane #|<surftab|<lifetab|<xelio|<intenso|"
        "<i.onik|<polaroid|<wexler|texet tm 7|texet tm 8|texet tm 9|explay hit|"
        "<supra m|<irbis tz|<irbis tw|oysters t|bliss pad|<ursus|<roverpad|ritmix rmd|"
        "assistant ap|impression impad|<3q_|<q pad|<mytab|<vtab|<xtab|<neotab|<funtab|"
        "<kids tab|<kidspad|<playpad|<fonepad|<padplus|<ployer|<momo#|freelander|"
        "<sanei|<yuandao|<aoson|<newsmy|<kurio|<leappad|<clempad|<meep|<nabi|<vtech|"
        "<innotab|<storio|rca tablet|<rct#|visual land|<nextbook|<next#|<azpen|<craig|"
        "<proscan|hipstreet|hip street|<digiland|<ematic|<egq|<xtratech|<iview|<tmax|"
        "<mid#|<mid>|<mid |<coby|pandigital|velocity micro|<viewpad|viewsonic vp|<pmp|"
        "<pmt|<pmid|<qmv|<versus|<arnova|<dreamtab|toshiba at|<at#|<sero #|<lifepad|"
        "<ktab|<jay tech|<xoro|point of view|tegra note|shield tablet|<vivotab|"
        "htc flyer|folio 100|hp slate 7|hp slate 8|hp slate 10|slatebook|<slider sl|"
        "#rpa|#rpb|#rpc|#rpd|#rp#"},
    /* iPad and Android tablet. */
    RULE(PUFFIN_TABLET) = {"puffin-tablet", TABLET, BIT(PUFFIN), 0, "#it>|#at>"},
    /* iPhone and Android phone. */
    RULE(PUFFIN_PHONE) = {"puffin-phone", MOBILE, BIT(PUFFIN), 0, "#ip>|#ap>"},
    /* Phones that leave Mobile out: by name, or by a browser that phones have. */
    RULE(PHONE) = {"phone", MOBILE, BIT(ANDROID), 0,
        "phone|galaxy s|galaxy note|opera mini|opera mobi|ucbrowser|ucweb|yahoomobile|"
        "jp.co.yahoo"},
    /* Set by the form of a model's number: see device/agent.c. */
    RULE(PHONE_NUMBER) = {"phone-number", MOBILE, 0, 0, ""},
    /* A view in an application that has cut its string behind Chrome's version. */
    RULE(WEBVIEW) = {"webview", MOBILE, BIT(ANDROID), BIT(SAFARI) | BIT(MOBILE_WORD),
        "<wv)"},
    RULE(CHROMEOS) = {"chromeos", PC, 0, 0, "<cros>"},
    /* Phones, foldables (open or closed), and tablets that the tables do not know. */
    RULE(ANDROID_MOBILE) = {"android-mobile", MOBILE, BIT(ANDROID) | BIT(MOBILE_WORD), 0,
                            NULL},
    /* Dalvik, players, shops: applications leave Mobile out; most Androids are phones. */
    RULE(ANDROID_APP) = {"android-app", MOBILE, BIT(ANDROID), BIT(BROWSER), NULL},
    /* A browser on Android without Mobile. */
    RULE(ANDROID_OTHER) = {"android-other", TABLET, BIT(ANDROID), 0, NULL},
    RULE(MOBILE) = {"mobile", MOBILE, 0, BIT(WINDOWS), "mobi"},
    /* Names neither browser nor system nor device: a program, as people's browsers do. */
    RULE(BARE) = {"bare-name", BOT, 0,
        BIT(BROWSER) | BIT(SYSTEM) | BIT(ANDROID) | BIT(NOT_BOT) |
        BIT(NOT_NAME),
                  NULL},
    RULE(DEFAULT) = {"default", PC, 0, 0, NULL},
};

const devcache_device_model_t devcache_device_models[] = {
    /* makers' names in front of a model: stepped over */
    {FACT, "samsung |lenovo |huawei |lge |lg |asus |acer |xiaomi |zte |alcatel |texet |"
        "digma |dexp |prestigio |irbis |sony |honor |htc |motorola |hisense |tcl |"
        "nokia |vivo |realme |oppo |lnv "},
    /* Samsung: Galaxy Tab, Note 8 and 10.1, View, Book */
    {TABLET, "sm t|sm p|sm x|gt p1|gt p3|gt p5|gt p6|gt p7|gt p8|gt n80|gt n51|"
        "sgh i987|sgh t849|sgh t859|sgh i467|sgh i497|sgh i957|shw m180|shw m380|"
        "shw m430|shw m480|shw m500|shv e140|shv e150|shv e230|sch i815|sch i905|"
        "sch i915|sch p7|sch i800|sm n80|sch i925|sph p100|sph p500|sph p600|sc 01c|"
        "sc 02d|sc 01d|sc 01e"},
    /* Phones of makers that number phones and tablets apart, for those that leave Mobile
       out. */
    {MOBILE, "sm a#|sm c#|sm e#|sm f#|sm g#|sm j#|sm m#|sm n#|sm s#|sm w2#|gt i#|gt s#|"
        "gt n7#|gt b#|sch i#|sgh i#|sgh t#|sph l#|shv e#|pixel #|pixel xl|pixel>|"
        "nexus 4|nexus 5|nexus 6|nexus s|nexus one|galaxy nexus|redmi|poco |mi #|"
        "mi note|mi max|mi mix|hm note|moto |xt1#|xt2#|oneplus #|oneplus a#|cph#|"
        "vivo #|lm g|lm q|lm v|lm x|lm k|lg d#|lg h#|lg k#|lg m#|xq |so 0|so 5|"
        "sov#|sog#|asus_x0|asus_z0|asus_i0|htc one|htc desire|htc u#|infinix x|sh 0#|"
        "shv#|shg#|kyv#|rmx"},
    {TABLET, "pixel c>|pixel tablet|moto tab|nokia t1|nokia t2|sgp#"},
    /* phones whose model begins like a tablet's, or has a tablet's word in it */
    {MOBILE, "lg h9|sd4930|sgh i717|padfone|klipad|rmx|peg|peh|pem|sm t2519|sm t255"},
    /* Lenovo */
    {TABLET, "tb |tb1|tb2|tb3|tb7|tab|ideatab|a2107!|a2109!|a3000!|a3500!|a5500!|"
        "a7600!|a10 70|a8 50|b6000!|b8000!|b8080!|s5000!|s6000!|yoga|yt |yt3|yb|k1 tab|"
        "thinkpad"},
    /* Huawei and Honor: MediaPad, MatePad, Honor Pad */
    {TABLET,
        "ags|agr |agrk|agm3|agm hl|bah|bach|bg2 |bgo |btv|btk|bzd|bzi|bzk|bzt|bzw|bzc|"
        "cmr|cpn |dby|dbr|dtn |eld|got |gdi |gem 7|hdl |hdn |hey |hey2|hey3|jdn |jdn2|"
        "jms |kob|krj|lct|lda |mon |mrx |mrr |mrdi|ndl|pce |pls |rod|scm|sht |s7 |"
        "s10 1|s10 2|t1 7|t1 8|t1 a|tgr |vrd |wgr|xin|xyao|m2 801|m2 802|m2 a01|fdr a|"
        "ple |mediapad|hwt|dtab"},
    /* docomo's dtab, au's Qua tab */
    {TABLET, "d 0#|d 4#|d 5#|kyt#"},
    /* Amazon: Kindle Fire and Fire tablets */
    {TABLET,
        "kfa|kfc|kfd|kff|kfg|kfj|kfk|kfm|kfo|kfp|kfq|kfr|kfs|kft|kfu|kindle|fire hd"},
    /* LG G Pad */
    {TABLET, "lg v4|lg v5|lg v6|lg v7|lg v9|lg uk|lm t6|lk430!|lgt0"},
    /* Xiaomi and Redmi Pad */
    {TABLET, "mi pad|redmi pad|poco pad|21051182|22081281|22081283|m2105k81|m2107k81"},
    /* Asus: Transformer, MeMO Pad, ZenPad, Nexus 7 */
    {TABLET,
        "me1|me3|k007!|k00c|k00e|k00l|k00r|k00s|k00u|k010!|k011!|k015!|k01a|k01b|k01e|"
        "p001!|p002!|p008!|p00a|p00i|p00l|p01!|p02!|tf1|tf3|slider"},
    /* Acer Iconia */
    {TABLET, "a1 7|a1 8|a200!|a210!|a500!|a511!|a3 a|b1 7|b1 8|b1 a|b3 a|iconia"},
    /* Alcatel and TCL: 4-digit numbers from 8000 and 9000 */
    {TABLET, "8068|8082|8084|8088|8091|8092|8094|8095|8496|9006|9007|9009|9010|9013|"
        "9015|9020|9024|9025|9026|9027|9032|9048|9081|9132|9160|9198|9295|9309|9317|"
        "9460|9466|one touch t10|one touch e7|one touch p3|one touch tab|onetouch t10"},
    /* Sony */
    {TABLET, "so 03e|so 05f|so 05g|sot2|sot3|xperia tablet|tablet"},
    /* Digma, Irbis, Prestigio, teXet, Explay, Supra, Wexler, 3Q, Dexp, Ritmix */
    {TABLET,
        "plane|optima|citi |platina|eve 1|irbis tz|tz|tx2|tx6|pmp|pmt|multipad|grace 3|"
        "wize 3|tm 7|tm 8|tm 9|tm 10|surfer|hit 3g|oysters t|t7v|t72!|t74!|supra m|m8 |"
        "m9 |wexler tab|wexler.tab|wexler .tab|tab 7|qs0|qs1|lc0|mt0|rc0|rc7|rc9|el7|"
        "vm0|ac0|ursus|rmd|hometab|topol|skylink"},
    /* BQ */
    {TABLET, "bq 7|bq 8|bq 10|bqru 7|bqru 8|bqru 10|edison|maxwell|pascal|curie|elcano|"
        "livingstone|aquaris m10|aquaris m8|aquaris e10"},
    /* Archos: the inches are part of the name */
    {TABLET, "archos 7|archos 8|archos 9|archos 10|archos core 7|archos core 10|"
        "archos access 7|archos access 10|archos t|archos oxygen 101|archos gamepad|"
        "archos hello|archos magnus|archos sense 10|archos family|archos arnova|"
        "archos chefpad|archos child|archos junior tab|archos diamond tab|arnova"},
    /* Teclast, Chuwi, Cube, Onda, PiPO, Ainol, Ramos, Vido, Doogee, Oukitel */
    {TABLET,
        "teclast|p20hd|p25!|p26t|p40hd|p40s|p50hd|p80!|p85!|p90hd|m40!|t30!|m89!|x98!|"
        "tpa|hi8|hi9 air|hi10!|hibook|hipad|vi8|t1001!|iplay|u27!|u55!|u63!|u65!|"
        "mix plus|onda|v81!|v89!|v10 4g|pipo|novo|ramos i|ramos k|w22!|n70!|n101!|t10 |"
        "t10pro|t20mini|t20ultra|rt1|rt3|rt5|rt6|rt7|ot5|ot8|active 8|active 10|"
        "active 6|g5 tab|g1 tab|g2 tab"},
    /* Oppo, OnePlus, Realme, vivo */
    {TABLET, "opd|oneplus pad|pa4|dpd"},
    /* Barnes & Noble, readers */
    {TABLET,
        "nook|poke|note air|nova air|nova pro|nova 2|nova 3|likebook|pocketbook|inkpad|"
        "inkpalm|moaan|meebook|tolino|readboy|boyue"},
    /* Motorola Xoom, ViewSonic, Toshiba, Dell, HP, NEC, Fujitsu, ZTE, Verizon, AT&T */
    {TABLET,
        "xoom|mz60|viewpad|viewsonic|at1|at2|at3|at7|at8|venue 7|venue 8|venue8|venue7|"
        "streak 7|hp 7|hp 8|hp 10|hp slate 7|hp slate 8|hp slate 10|hp slate 17|"
        "hp slate 21|slate 7|slate 8|slate 10|slate 2|pro slate|10 plus|lavie|pc t|"
        "f 01d|f 02f|f 03g|f 04h|f 05e|f 02k|arrows tab|v11!|k87!|k88!|k90!|k92!|qta|"
        "qmv|ellipsis|et8|nvidia|tegranote"},
    /* Shops and makers elsewhere: RCA, Trekstor, Kiano, Woxter and others */
    {TABLET,
        "rct|next7|next8|nextbook|azpen|egl|plt|surftab|st7|st10|breeze|xelio|lifetab|"
        "tad|taq|goclever tab|orion|quantum 7|quantum 8|quantum 9|quantum 10|aries 7|"
        "aries 10|terra|freetab|qualcore|livecore|solution|basecore|magnum|pixus|impad|"
        "dx7|mitab|logicom|la tab|kurio|kids|nabi|vtab|smarttab|smart tab|orange tab|"
        "vodafone tab|vodafone smart tab|vfd 1|hytab|ht07|koral|polaroid|mid|lavatab|"
        "e tab|datawind|ubislate|iball slide|micromax p|funbook|canvas tab|ivory|xtab|"
        "zync|swipe|celkon ct|hcl me|me tablet|wishtel|simmtronics|karbonn st|"
        "karbonn smart tab|spice mi 7|beetel|magiq|milagrow|idea|salora|bluebird|"
        "toughpad|algiz|getac|zebra et|positivo yp|t701!|t1060!|philco|tx3|m7s|m10a|"
        "m10l|ml01!|m7 3g|m7 4g|myt|titan ii|tpc|kiano|manta|eagle|lenco|ferguson|"
        "colorovo|overmax|allview ax|ax50|ax4|serioux|smailo|vonino|concorde|wayteq|"
        "alcor|emgeton|iget|visionbook|sencor|yarvik|empire|bravis n|bravis 7|nomi c07|"
        "nomi c10|nomi corsa|nomi libra|nomi terra|nomi ultra|nomi deeper|c070!|c101!|"
        "sigma x style tab|assistant ap|ap |globex|gu|geofox|turbopad|flylife|bmorn|"
        "sanei|aoson|ployer|mpman|mpqc|mpdc|tab10!|brigmton|bdf|dragon touch|vankyo|"
        "matrixpad|z10!|fusion5|f104!|lexibook|mfc|megafon login|login|beeline tab|"
        "ginzzu gt|gt w"},
    /* series of small makers */
    {TABLET,
        "actab|smarty mini|faust|mc faust|megafon v9|ptb|droidz portal|i mobile i not|"
        "freeme x|numy|navitel |nt 3|element 7|ccit a|z909!|z930!|z1000!|7dy|jk70|"
        "andromeda s|allview ax|aquarius cmp n|hope7|hope8|tecno p70|tesla l7|ct701!|"
        "jdn|kt200!|kt300!|kt600!|wo 8|km0|km1"},
    /* phones whose names begin like a tablet's */
    {MOBILE, "lg h9|sd4930|sgh i717|padfone|klipad|rmx|peg|peh|pem|gt n70|solo aspire"},
    /* boxes and sticks */
    {TV, "gtx r10|amigo7|a5x max|spc alien|h dmp|ozone|yundoo|nogapc|nsz gs|neo x|"
        "nv501!|tox|eled |as 4k|as4k|ut8|x96!|h96!|t95!|tx3 mini|tanix|a95x|mxq|mxiii|"
        "mbox|minix|neo u|ugoos|beelink|gt king|gtking|gt1|zidoo|vontar|transpeed|hk1|"
        "ki p|rkm|rikomagic|vorke|sdott|sdstb|beyondtv|iconbit movie|iconbit xlr|"
        "rombica|openbox|invin|orbsmart|xds|mecool|magenta|android tv|smart box|egreat|"
        "himedia|ec61|dv8|vmp|yndx|yandex|shell|mystery shell|leff shell|econ shell|"
        "jvc shell|telefunken|starwind|hartens|bbk|digma shell|fundroid|red |s800 max|"
        "s600 max|tvbox|boxd|vibox|vinabox|spyboxs|selenga|dreamstar|pendoo|andowl|"
        "nexbox|atom 216|perfeo|zte b8|zxv10!|freebox|bouygues|mibox|ai pont|leap s|"
        "nexon|formuler|dctiw|kd|bravia|hisense|projector|xgimi|nebula|"
        "aosp on smartbox|aosp on h|q plus|z28!|en10|cs918!|mk808!|tronsmart|vega s|"
        "wetek|odroid|amlogic|ipbox|skybox|fire tv"},
};
/* clang-format on */

const unsigned devcache_device_models_count = sizeof(devcache_device_models) /
                                              sizeof(devcache_device_models[0]);
