//! Good tokens of each algorithm and issuer, and bad ones, each refused for its own reason.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

use crate::limits::*;
use crate::*;

const NOW: u64 = 1_800_000_000;
const ISS: &str = "https://issuer.example";

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Signer {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn rsa(how: &'static dyn RsaEncoding) -> Signer {
    Signer::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("../testdata/rsa-2048.pk8")).unwrap(), how)
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Signer {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    Signer::Ec(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
}

fn ed() -> Signer {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Signer::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Signer::Rsa(key, how) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*how, &random, message, &mut signature).unwrap();
                signature
            }
            Signer::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Signer::Rsa(key, _) => {
                let of: PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "kid": kid, "n": b64(&of.n), "e": b64(&of.e)})
            }
            Signer::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "kid": kid, "crv": crv, "x": b64(x), "y": b64(y)})
            }
            Signer::Ed(key) => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(key.public_key().as_ref())})
            }
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// Of the very texts.
    fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", b64(&signature))
    }
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

fn rules() -> Rules {
    Rules {
        issuer: ISS.to_owned(),
        audiences: vec!["tacho".to_owned()],
        several_audiences: false,
        algorithms: Algorithm::USUAL.to_vec(),
        require: Vec::new(),
        human: Path::new("sub"),
        agent: None,
        agent_version: None,
        groups: Path::new("groups"),
        leeway_seconds: LEEWAY_SECONDS,
    }
}

fn claims() -> Value {
    json!({
        "iss": ISS, "aud": "tacho", "sub": "ada", "exp": NOW + 600, "iat": NOW - 1, "nbf": NOW - 1, "jti": "t-1",
        "groups": ["ops"],
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn verify(rules: &Rules, keys: &[u8], token: &str) -> Result<Verified, Refused> {
    let keys = KeySet::parse(keys, &rules.algorithms).unwrap();
    rules.verify(&Token::parse(token)?, &keys, NOW)
}

#[test]
fn a_good_token_of_each_algorithm_is_taken_and_of_no_other_key() {
    let all: [(Algorithm, Signer); 9] = [
        (Algorithm::Rs256, rsa(&signature::RSA_PKCS1_SHA256)),
        (Algorithm::Rs384, rsa(&signature::RSA_PKCS1_SHA384)),
        (Algorithm::Rs512, rsa(&signature::RSA_PKCS1_SHA512)),
        (Algorithm::Ps256, rsa(&signature::RSA_PSS_SHA256)),
        (Algorithm::Ps384, rsa(&signature::RSA_PSS_SHA384)),
        (Algorithm::Ps512, rsa(&signature::RSA_PSS_SHA512)),
        (Algorithm::Es256, ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        (Algorithm::Es384, ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        (Algorithm::EdDsa, ed()),
    ];
    for (algorithm, signer) in &all {
        let rules = Rules { algorithms: vec![*algorithm], ..rules() };
        let header = json!({"alg": algorithm.as_str(), "kid": "k", "typ": "JWT"});
        let token = signer.token(&header, &claims());
        let keys = set(&[signer.jwk("k")]);
        let verified = verify(&rules, &keys, &token).unwrap_or_else(|e| panic!("{algorithm:?}: {e:?}"));
        assert_eq!(verified.human.as_deref(), Some("ada"));
        assert_eq!((verified.subject.as_str(), verified.id.as_deref()), ("ada", Some("t-1")));
        assert_eq!((verified.expires, &verified.groups[..]), (NOW + 600, &["ops".to_owned()][..]));
        // The key says which algorithm it is for, and that is another than is allowed: not this one.
        for (other, _) in all.iter().filter(|(other, _)| other != algorithm) {
            let keys = set(&[with(signer.jwk("k"), "alg", json!(other.as_str()))]);
            let keys = KeySet::parse(&keys, &[*algorithm]).err();
            assert_eq!(keys, Some(KeysError::NoneUsable), "{algorithm:?} by a key for {other:?}");
        }
        // One bit of the signature, or of what is signed.
        for at in [token.len() - 20, token.len() / 3] {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bytes).unwrap();
            let refused = verify(&rules, &keys, &bent).unwrap_err();
            assert!(matches!(refused, Refused::Signature | Refused::Malformed), "{algorithm:?}: {refused:?}");
        }
    }
}

/// The header's algorithm is another than the key's, both of them allowed.
#[test]
fn an_algorithm_belongs_to_a_key() {
    let signer = rsa(&signature::RSA_PSS_SHA256);
    let rules = Rules { algorithms: vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256], ..rules() };
    let token = signer.token(&json!({"alg": "PS256", "kid": "k"}), &claims());
    let keys = |alg: &str| set(&[with(signer.jwk("k"), "alg", json!(alg))]);
    assert!(verify(&rules, &keys("PS256"), &token).is_ok());
    assert_eq!(verify(&rules, &keys("RS256"), &token), Err(Refused::Algorithm));
    assert_eq!(verify(&rules, &set(&[signer.jwk("k")]), &token), Err(Refused::Algorithm), "RS256 is first");
    let token = signer.token(&json!({"alg": "ES256", "kid": "k"}), &claims());
    assert_eq!(verify(&rules, &keys("PS256"), &token), Err(Refused::Algorithm));
}

#[test]
fn bad_tokens_are_refused_each_for_its_reason() {
    let (signer, other) = (ec(&ECDSA_P256_SHA256_FIXED_SIGNING), ec(&ECDSA_P256_SHA256_FIXED_SIGNING));
    let head = || json!({"alg": "ES256", "kid": "k", "typ": "JWT"});
    let headed = |name: &str, value: Value| signer.token(&with(head(), name, value), &claims());
    let saying = |name: &str, value: Value| signer.token(&head(), &with(claims(), name, value));
    let lacking = |name: &str| signer.token(&head(), &without(claims(), name));
    let good = signer.token(&head(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let deep = (0..=ACTORS_MAX).fold(json!({"sub": "x"}), |act, _| json!({"sub": "x", "act": act}));
    let hmac = {
        // The public key as the shared secret: what a library does that believes the header.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.jwk("k").to_string().as_bytes());
        let signed = format!("{}.{}", b64(br#"{"alg":"HS256","kid":"k"}"#), parts[1]);
        format!("{signed}.{}", b64(ring::hmac::sign(&key, signed.as_bytes()).as_ref()))
    };
    let none = format!("{}.{}.", b64(br#"{"alg":"none","kid":"k"}"#), parts[1]);
    let weak = with(json!({"kty": "RSA", "kid": "weak", "e": "AQAB"}), "n", json!(b64(&[0xff; 128])));
    let shared = |name: &str| json!({"kty": "EC", "use": "enc", "kid": name});
    let keys = set(&[signer.jwk("k"), weak, shared("enc"), json!({"kty": "new", "kid": "new"})]);

    let table: Vec<(&str, String, Refused)> = vec![
        ("alg none", none, Refused::Algorithm),
        ("alg None", headed("alg", json!("nOnE")), Refused::Algorithm),
        ("HS256 by the public key", hmac, Refused::Algorithm),
        ("HS512", headed("alg", json!("HS512")), Refused::Algorithm),
        ("an algorithm that is not allowed", headed("alg", json!("ES384")), Refused::Algorithm),
        ("an algorithm for other keys", headed("alg", json!("RS256")), Refused::Algorithm),
        ("an unknown algorithm", headed("alg", json!("ES999")), Refused::Algorithm),
        ("no algorithm", signer.token(&without(head(), "alg"), &claims()), Refused::Algorithm),
        ("an algorithm that is a list", headed("alg", json!(["ES256"])), Refused::Algorithm),
        ("crit", headed("crit", json!(["exp"])), Refused::Header),
        ("an empty crit", headed("crit", json!([])), Refused::Header),
        ("b64", headed("b64", json!(false)), Refused::Header),
        ("its own key", headed("jwk", other.jwk("k")), Refused::Header),
        ("a place of keys", headed("jku", json!("https://evil.example/keys")), Refused::Header),
        ("a place of certificates", headed("x5u", json!("https://evil.example/chain")), Refused::Header),
        ("its own certificates", headed("x5c", json!(["MII="])), Refused::Header),
        ("enc", headed("enc", json!("A256GCM")), Refused::Encrypted),
        ("zip", headed("zip", json!("DEF")), Refused::Encrypted),
        ("a JWE", format!("{}.a.b.c.d", b64(br#"{"alg":"dir"}"#)), Refused::Encrypted),
        ("a logout token", headed("typ", json!("logout+jwt")), Refused::Type),
        ("a proof of possession", headed("typ", json!("dpop+jwt")), Refused::Type),
        ("a type that is a number", headed("typ", json!(1)), Refused::Malformed),
        ("a key's name that is a number", headed("kid", json!(1)), Refused::Malformed),
        ("an unknown key", headed("kid", json!("other")), Refused::UnknownKey),
        (
            "no key's name among several",
            signer.token(&without(head(), "kid"), &claims()),
            Refused::UnknownKey,
        ),
        ("a key for encryption", headed("kid", json!("enc")), Refused::UnusableKey),
        ("a key of a new type", headed("kid", json!("new")), Refused::UnusableKey),
        ("RSA with 1,024 bits", headed("kid", json!("weak")), Refused::UnusableKey),
        ("another's signature", other.token(&head(), &claims()), Refused::Signature),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), Refused::Signature),
        ("a signature that is cut", good[..good.len() - 2].to_owned(), Refused::Signature),
        ("loose last bits", format!("{}x", &good[..good.len() - 1]), Refused::Malformed),
        ("another payload", format!("{}.{}.{}", parts[0], b64(b"{}"), parts[2]), Refused::Signature),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Refused::Malformed),
        ("four parts", format!("{good}.a"), Refused::Malformed),
        ("many parts", format!("{good}.a.b.c.d.e"), Refused::Malformed),
        ("padding", format!("{good}="), Refused::Malformed),
        ("the other alphabet", good.replacen("eyJ", "+yJ", 1), Refused::Malformed),
        ("a space", format!("{good} "), Refused::Malformed),
        ("a payload that is a list", signer.token_of(&head().to_string(), "[]"), Refused::Malformed),
        (
            "a payload that is no UTF-8",
            format!("{}.{}.{}", parts[0], b64(b"\xff"), parts[2]),
            Refused::Malformed,
        ),
        (
            "a claim twice",
            signer.token_of(&head().to_string(), &format!(r#"{{"sub":"eve",{}"#, &claims().to_string()[1..])),
            Refused::Malformed,
        ),
        (
            "a header twice",
            signer.token_of(r#"{"alg":"none","kid":"k","alg":"ES256"}"#, &claims().to_string()),
            Refused::Malformed,
        ),
        (
            "an actor's name twice",
            signer.token_of(
                &head().to_string(),
                &format!(r#"{{"act":{{"sub":"a","sub":"b"}},{}"#, &claims().to_string()[1..]),
            ),
            Refused::Malformed,
        ),
        ("too long", saying("x", json!("x".repeat(TOKEN_BYTES_MAX))), Refused::TooLong),
        ("another issuer", saying("iss", json!("https://issuer.example/")), Refused::Issuer),
        ("no issuer", lacking("iss"), Refused::Issuer),
        ("another audience", saying("aud", json!("other")), Refused::Audience),
        ("no audience", lacking("aud"), Refused::Audience),
        ("an empty list of audiences", saying("aud", json!([])), Refused::Audience),
        ("several audiences", saying("aud", json!(["tacho", "other"])), Refused::Audience),
        ("an audience that is a number", saying("aud", json!([1])), Refused::Audience),
        ("no exp", lacking("exp"), Refused::NoExpiry),
        ("an exp that is a text", saying("exp", json!("1900000000")), Refused::NoExpiry),
        ("a negative exp", saying("exp", json!(-1)), Refused::NoExpiry),
        ("an exp past all numbers", saying("exp", json!(1e300)), Refused::NoExpiry),
        ("expired, with the leeway", saying("exp", json!(NOW - LEEWAY_SECONDS)), Refused::Expired),
        ("not yet", saying("nbf", json!(NOW + LEEWAY_SECONDS + 1)), Refused::NotYet),
        ("an nbf that is a text", saying("nbf", json!("0")), Refused::NotYet),
        ("made in the future", saying("iat", json!(NOW + LEEWAY_SECONDS + 1)), Refused::NotYet),
        ("made too long ago", saying("iat", json!(NOW - TOKEN_LIFE_SECONDS_MAX)), Refused::Life),
        ("it lives too long", saying("exp", json!(NOW + TOKEN_LIFE_SECONDS_MAX + 1)), Refused::Life),
        ("bound to a key", saying("cnf", json!({"jkt": "x"})), Refused::Bound),
        ("an empty subject", saying("sub", json!("")), Refused::Human),
        ("a subject with a line's end", saying("sub", json!("a\nb")), Refused::Human),
        ("no subject", lacking("sub"), Refused::Human),
        ("an actor that is a text", saying("act", json!("svc")), Refused::Actor),
        ("an actor without a subject", saying("act", json!({"iss": ISS})), Refused::Actor),
        ("an actor's actor without one", saying("act", json!({"sub": "a", "act": {}})), Refused::Actor),
        ("too many actors", saying("act", deep), Refused::Actor),
        ("an id that is a number", saying("jti", json!(7)), Refused::Claim),
        ("groups that are a text", saying("groups", json!("ops")), Refused::Claim),
        ("a group that is a number", saying("groups", json!([1])), Refused::Claim),
        ("too many groups", saying("groups", json!(vec!["g"; GROUPS_MAX + 1])), Refused::Claim),
    ];
    assert!(verify(&rules(), &keys, &good).is_ok());
    for (what, token, reason) in &table {
        assert_eq!(verify(&rules(), &keys, token).err(), Some(*reason), "{what}");
    }
    let reasons: std::collections::BTreeSet<&str> = Refused::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(reasons.len(), Refused::ALL.len(), "a word for each reason");
}

#[test]
fn what_is_at_the_limit_is_taken() {
    let signer = ed();
    let keys = set(&[signer.jwk("k")]);
    let saying = |name: &str, value: Value| {
        signer.token(&json!({"alg": "EdDSA", "kid": "k"}), &with(claims(), name, value))
    };
    let deep = (1..ACTORS_MAX).fold(json!({"sub": "x"}), |act, _| json!({"sub": "x", "act": act}));
    for token in [
        saying("exp", json!(NOW - LEEWAY_SECONDS + 1)),
        saying("nbf", json!(NOW + LEEWAY_SECONDS)),
        saying("iat", json!(NOW as f64 - 0.5)),
        saying("exp", json!(NOW - 1 + TOKEN_LIFE_SECONDS_MAX)),
        saying("act", deep),
        saying("aud", json!(["tacho"])),
        saying("groups", json!(vec!["g"; GROUPS_MAX])),
        saying("sub", json!("x".repeat(CLAIM_BYTES_MAX))),
        // The only key that there is needs no name.
        signer.token(&json!({"alg": "EdDSA", "typ": "at+JWT"}), &claims()),
        signer.token(&json!({"alg": "EdDSA", "typ": "application/at+jwt", "x5t": "x"}), &claims()),
    ] {
        assert!(verify(&rules(), &keys, &token).is_ok(), "{token}");
    }
    let several = Rules { several_audiences: true, ..rules() };
    let for_others = saying("aud", json!(["other", "tacho"]));
    assert!(verify(&several, &keys, &for_others).is_ok());
    assert_eq!(verify(&several, &keys, &saying("aud", json!(["a", "b"]))), Err(Refused::Audience));
}

#[test]
fn a_set_of_keys_is_read_strictly() {
    let signer = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let parse = |set: &[u8]| KeySet::parse(set, &Algorithm::USUAL).map(|keys| keys.usable());
    let jwk = || signer.jwk("k");
    assert_eq!(parse(&set(&[jwk(), signer.jwk("l"), json!({"kty": "new"})])), Ok(2));
    let many: Vec<Value> = (0..=KEYS_MAX).map(|n| signer.jwk(&n.to_string())).collect();
    assert_eq!(parse(&set(&many[..KEYS_MAX])), Ok(KEYS_MAX));
    for (bad, why) in [
        (set(&many), KeysError::TooMany),
        (set(&[jwk(), jwk()]), KeysError::SameName),
        (set(&[with(jwk(), "d", json!("AA"))]), KeysError::Private),
        (set(&[jwk(), json!({"kty": "oct", "kid": "s", "k": "AA"})]), KeysError::Private),
        (set(&[]), KeysError::NoneUsable),
        (set(&[with(jwk(), "use", json!("enc"))]), KeysError::NoneUsable),
        (set(&[with(jwk(), "key_ops", json!(["sign"]))]), KeysError::NoneUsable),
        (set(&[with(jwk(), "alg", json!("HS256"))]), KeysError::NoneUsable),
        (set(&[with(jwk(), "crv", json!("P-384"))]), KeysError::NoneUsable),
        (set(&[with(jwk(), "x", json!("AA"))]), KeysError::NoneUsable),
        (b"{}".to_vec(), KeysError::Malformed),
        (br#"{"keys":[1]}"#.to_vec(), KeysError::Malformed),
        (br#"{"keys":[],"keys":[]}"#.to_vec(), KeysError::Malformed),
        (vec![b' '; KEYS_BYTES_MAX + 1], KeysError::TooLong),
    ] {
        assert_eq!(parse(&bad), Err(why), "{}", String::from_utf8(bad).unwrap());
    }
}

/// A service account's token as Kubernetes projects it into a pod.
#[test]
fn a_projected_service_account_of_kubernetes() {
    let signer = rsa(&signature::RSA_PKCS1_SHA256);
    let keys = set(&[with(with(signer.jwk("u5a"), "alg", json!("RS256")), "use", json!("sig"))]);
    let path = |text: &str| Path::new(text).unwrap();
    let rules = Rules {
        issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
        human: None,
        agent: Some(path("/kubernetes.io/serviceaccount/name")),
        require: vec![(path("/kubernetes.io/namespace"), "jobs".to_owned())],
        ..rules()
    };
    let claims = json!({
        "aud": ["tacho"], "exp": NOW + 3607, "iat": NOW, "nbf": NOW,
        "iss": "https://kubernetes.default.svc.cluster.local", "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
        "kubernetes.io": {
            "namespace": "jobs", "node": {"name": "n1", "uid": "646e7c5e"},
            "pod": {"name": "reporter-7", "uid": "49dc2a2f"},
            "serviceaccount": {"name": "reporter", "uid": "14ee3fa4"},
        },
        "sub": "system:serviceaccount:jobs:reporter",
    });
    let token = |claims: &Value| signer.token(&json!({"alg": "RS256", "kid": "u5a"}), claims);
    let verified = verify(&rules, &keys, &token(&claims)).unwrap();
    assert_eq!(verified.subject, "system:serviceaccount:jobs:reporter");
    assert_eq!((verified.agent.as_deref(), verified.human), (Some("reporter"), None));
    assert_eq!(verified.used[0], ("/kubernetes.io/namespace".to_owned(), "jobs".to_owned()));
    let mut elsewhere = claims.clone();
    elsewhere["kubernetes.io"]["namespace"] = json!("other");
    assert_eq!(verify(&rules, &keys, &token(&elsewhere)), Err(Refused::Claim));
    elsewhere["kubernetes.io"] = json!("jobs");
    assert_eq!(verify(&rules, &keys, &token(&elsewhere)), Err(Refused::Claim));
}

/// A job's token as GitHub Actions makes it.
#[test]
fn a_job_of_ci() {
    let signer = rsa(&signature::RSA_PKCS1_SHA256);
    let keys = set(&[with(signer.jwk("cc4"), "alg", json!("RS256"))]);
    let require = [("repository", "org/app"), ("ref", "refs/heads/main")];
    let require = require.map(|(name, value)| (Path::new(name).unwrap(), value.to_owned()));
    let rules = Rules {
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        human: None,
        agent_version: Path::new("sha"),
        require: require.to_vec(),
        ..rules()
    };
    let claims = json!({
        "jti": "0cd0b2bb", "sub": "repo:org/app:ref:refs/heads/main", "aud": "tacho", "ref": "refs/heads/main",
        "sha": "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e", "repository": "org/app", "repository_owner": "org",
        "run_id": "1234567890", "actor": "octocat", "workflow": "deploy", "event_name": "push", "ref_type": "branch",
        "job_workflow_ref": "org/app/.github/workflows/deploy.yml@refs/heads/main", "runner_environment": "github-hosted",
        "iss": "https://token.actions.githubusercontent.com", "nbf": NOW - 300, "exp": NOW + 600, "iat": NOW - 300,
    });
    let token = |claims: &Value| {
        signer.token(&json!({"typ": "JWT", "alg": "RS256", "x5t": "ykN", "kid": "cc4"}), claims)
    };
    let verified = verify(&rules, &keys, &token(&claims)).unwrap();
    assert_eq!(verified.agent_version.as_deref(), Some("f2ca1bb6c7e907d06dafe4687e579fce76b37e4e"));
    for (name, value) in
        [("repository", json!("org/app2")), ("ref", json!("refs/heads/mine")), ("ref", Value::Null)]
    {
        let token = token(&with(claims.clone(), name, value));
        assert_eq!(verify(&rules, &keys, &token), Err(Refused::Claim), "{name}");
    }
}

/// RFC 8693, 4.1: the outermost `act` is who acts now, and those inside acted before.
#[test]
fn the_chain_of_a_token_exchange_is_in_the_order_of_the_acts() {
    let signer = ed();
    let keys = set(&[signer.jwk("k")]);
    let rules = Rules { human: Path::new("email"), ..rules() };
    let exchanged = json!({
        "sub": "https://service16.example", "email": "x@example.org",
        "act": {"sub": "https://service77.example", "iss": "https://other.example"},
    });
    let claims = with(with(claims(), "email", json!("ada@example.org")), "act", exchanged);
    let token = |claims: &Value| signer.token(&json!({"alg": "EdDSA", "kid": "k"}), claims);
    // An address that nobody proved names nobody.
    assert_eq!(verify(&rules, &keys, &token(&claims)), Err(Refused::Human));
    for unproved in [json!(false), json!("false"), json!(1)] {
        let token = token(&with(claims.clone(), "email_verified", unproved));
        assert_eq!(verify(&rules, &keys, &token), Err(Refused::Human));
    }
    let verified = verify(&rules, &keys, &token(&with(claims, "email_verified", json!(true)))).unwrap();
    let chain: Vec<(&str, Option<&str>, Option<&str>)> = verified
        .actors
        .iter()
        .map(|a| (a.subject.as_str(), a.issuer.as_deref(), a.person.as_deref()))
        .collect();
    assert_eq!(
        chain,
        [
            ("https://service77.example", Some("https://other.example"), None),
            ("https://service16.example", None, Some("x@example.org")),
        ]
    );
    assert_eq!(verified.human.as_deref(), Some("ada@example.org"));
}

#[test]
fn a_second_signature_over_one_token_is_the_same_ticket() {
    let signer = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (keys, header) = (set(&[signer.jwk("k")]), json!({"alg": "ES256", "kid": "k"}));
    let take = |claims: &Value| verify(&rules(), &keys, &signer.token(&header, claims)).unwrap();
    let (one, again, other) = (take(&claims()), take(&claims()), take(&with(claims(), "jti", json!("t-2"))));
    assert_ne!(one.digest, again.digest);
    assert_eq!(one.ticket, again.ticket);
    assert_ne!(one.ticket, other.ticket);
}
