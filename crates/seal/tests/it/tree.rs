//! The tree against RFC 6962's published vectors and against `ct-merkle`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use seal::Hash;
use seal::tree::{
    Frontier, ProofError, consistency_proof, empty_root, inclusion_proof, leaf_hash, root_at,
    verify_consistency, verify_inclusion,
};
use sha2::Sha256;

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hash(hex: &str) -> Hash {
    unhex(hex).try_into().unwrap()
}

/// The leaves and roots of the Certificate Transparency project's reference tests.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_and_proofs_are_those_of_rfc_6962s_vectors() {
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&unhex(leaf))).collect();
    for (n, root) in ROOTS.iter().enumerate() {
        assert_eq!(Frontier::from_leaves(&leaves[..=n]).root(), hash(root), "{} leaves", n + 1);
        assert_eq!(root_at(&leaves, n as u64 + 1).unwrap(), hash(root));
    }
    let proof = inclusion_proof(&leaves, 5, 8).unwrap();
    let expect = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof, expect.map(hash));
    let proof = consistency_proof(&leaves, 6, 8).unwrap();
    let expect = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof, expect.map(hash));
}

#[test]
fn leaves_appended_at_once_make_the_tree_of_leaves_appended_one_by_one() {
    let leaves: Vec<Hash> = (0..150u8).map(|n| leaf_hash(&[n])).collect();
    let frontiers: Vec<Frontier> = (0..=150).map(|size| Frontier::from_leaves(&leaves[..size])).collect();
    for old in 0..=150 {
        for new in old..=150 {
            let mut frontier = frontiers[old].clone();
            frontier.extend(&leaves[old..new]);
            assert_eq!(frontier, frontiers[new], "{old} to {new}");
        }
    }
}

#[test]
fn every_root_and_proof_of_small_trees_is_ct_merkles() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let (mut leaves, mut frontier) = (Vec::new(), Frontier::new());
    let mut roots = vec![empty_root()];
    for size in 1..=100u64 {
        let record = format!("record {size}").into_bytes();
        leaves.push(leaf_hash(&record));
        frontier.append(leaf_hash(&record));
        theirs.push(record);
        let root = frontier.root();
        assert_eq!(root[..], theirs.root().as_bytes()[..]);
        assert_eq!(frontier.peaks().len(), size.count_ones() as usize);
        roots.push(root);
        for index in 0..size {
            let proof = inclusion_proof(&leaves, index, size).unwrap();
            assert_eq!(proof.concat(), theirs.prove_inclusion(index as usize).as_bytes());
            assert!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root));
        }
        for old in 0..=size {
            let proof = consistency_proof(&leaves, old, size).unwrap();
            if old > 0 && old < size {
                assert_eq!(proof.concat(), theirs.prove_consistency((size - old) as usize).as_bytes());
            }
            assert!(verify_consistency(old, &roots[old as usize], size, &root, &proof));
        }
    }
}

#[test]
fn proofs_of_larger_trees_are_ct_merkles_too() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut leaves = Vec::new();
    for n in 0..3_001u32 {
        leaves.push(leaf_hash(&n.to_be_bytes()));
        theirs.push(n.to_be_bytes().to_vec());
    }
    let size = leaves.len() as u64;
    let root = Frontier::from_leaves(&leaves).root();
    assert_eq!(root[..], theirs.root().as_bytes()[..]);
    for n in [0, 1, 2, 255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 2999, 3000] {
        let proof = inclusion_proof(&leaves, n, size).unwrap();
        assert_eq!(proof.concat(), theirs.prove_inclusion(n as usize).as_bytes());
        assert!(verify_inclusion(&leaves[n as usize], n, size, &proof, &root));
        if n > 0 {
            let proof = consistency_proof(&leaves, n, size).unwrap();
            assert_eq!(proof.concat(), theirs.prove_consistency((size - n) as usize).as_bytes());
            assert!(verify_consistency(n, &root_at(&leaves, n).unwrap(), size, &root, &proof));
        }
    }
}

#[test]
fn a_proof_that_differs_anywhere_does_not_hold() {
    let leaves: Vec<Hash> = (0..21u8).map(|n| leaf_hash(&[n])).collect();
    for size in 1..=21u64 {
        let root = root_at(&leaves, size).unwrap();
        for index in 0..size {
            let leaf = &leaves[index as usize];
            let proof = inclusion_proof(&leaves, index, size).unwrap();
            let holds = |proof: &[Hash]| verify_inclusion(leaf, index, size, proof, &root);
            each_difference(&proof, holds);
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(
                    !verify_inclusion(leaf, other, size, &proof, &root),
                    "{index} passes as {other} of {size}"
                );
            }
            assert!(!verify_inclusion(leaf, index, index, &proof, &root));
        }
        for old in 1..size {
            let old_root = root_at(&leaves, old).unwrap();
            let proof = consistency_proof(&leaves, old, size).unwrap();
            each_difference(&proof, |proof| verify_consistency(old, &old_root, size, &root, proof));
            assert!(!verify_consistency(old, &root, size, &root, &proof));
            assert!(!verify_consistency(old, &old_root, size, &old_root, &proof));
            assert!(!verify_consistency(size, &root, old, &old_root, &proof));
        }
        assert!(!verify_consistency(size, &root, size, &root, &[root]));
        assert!(!verify_consistency(0, &root, size, &root, &[]));
        assert!(!verify_consistency(0, &empty_root(), size, &root, &[root]));
    }
}

fn each_difference(proof: &[Hash], holds: impl Fn(&[Hash]) -> bool) {
    assert!(holds(proof));
    for i in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[i][31] ^= 1;
        assert!(!holds(&changed));
        let mut shorter = proof.to_vec();
        shorter.remove(i);
        assert!(!holds(&shorter));
    }
    for hash in [[0; 32], proof.last().copied().unwrap_or([1; 32])] {
        assert!(!holds(&[proof, &[hash]].concat()));
        assert!(!holds(&[&[hash], proof].concat()));
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let leaves: Vec<Hash> = (0..4u8).map(|n| leaf_hash(&[n])).collect();
    assert_eq!(inclusion_proof(&leaves, 4, 4), Err(ProofError::OutOfRange));
    assert_eq!(consistency_proof(&leaves, 4, 3), Err(ProofError::OutOfRange));
    assert!(!verify_inclusion(&leaves[0], 0, u64::MAX, &[], &leaves[0]));
    assert!(!verify_consistency(1, &leaves[0], u64::MAX, &leaves[0], &[]));
    let hostile = vec![[0; 32]; 65];
    assert!(!verify_inclusion(&leaves[0], u64::MAX - 1, u64::MAX, &hostile, &leaves[0]));
    assert!(!verify_consistency(u64::MAX - 1, &leaves[0], u64::MAX, &leaves[0], &hostile));
}

#[test]
fn a_frontier_is_restored_from_its_parts() {
    let leaves: Vec<Hash> = (0..13u8).map(|n| leaf_hash(&[n])).collect();
    let frontier = Frontier::from_leaves(&leaves);
    let restored = Frontier::from_parts(frontier.size(), frontier.peaks().to_vec()).unwrap();
    assert_eq!(restored, frontier);
    assert_eq!(Frontier::from_parts(12, frontier.peaks().to_vec()), None);
}
