//! How many user ids persons have. Most have one or two: a long tail is a shared device, a till, or
//! a test account.

/// How many persons have so many user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSize {
    /// How many user ids, as text: `1`, `6-10`, `>100`.
    pub users: &'static str,
    /// How many persons.
    pub persons: u64,
}

/// The sizes that are told apart: their names, and the most user ids of each.
const SIZES: [(&str, u32); 8] = [
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("4", 4),
    ("5", 5),
    ("6-10", 10),
    ("11-100", 100),
    (">100", u32::MAX),
];

/// How many user ids each person has, by its number; zero for a user that is another person.
pub(crate) fn members(person: &[u32]) -> Vec<u32> {
    let mut members = vec![0; person.len()];
    for person in person {
        members[*person as usize] += 1;
    }
    members
}

/// How many persons there are of every size; `person` is the person of each user.
///
/// # Example
///
/// ```
/// use apportion::identity::cluster_sizes;
/// let sizes = cluster_sizes(&[0, 0, 0, 3]);
/// assert_eq!((sizes[0].users, sizes[0].persons), ("1", 1));
/// assert_eq!((sizes[2].users, sizes[2].persons), ("3", 1));
/// ```
pub fn cluster_sizes(person: &[u32]) -> Vec<ClusterSize> {
    let mut sizes = SIZES.map(|(users, _)| ClusterSize { users, persons: 0 });
    for members in members(person).into_iter().filter(|members| *members > 0) {
        let size = SIZES.partition_point(|(_, most)| *most < members);
        sizes[size].persons += 1;
    }
    sizes.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_counted_by_how_many_user_ids_they_have() {
        // Persons with 1, 5, 6, 10, 11, 100 and 101 user ids, one after the other.
        let mut person = Vec::new();
        for users in [1, 5, 6, 10, 11, 100, 101] {
            let own = u32::try_from(person.len()).unwrap();
            person.extend(vec![own; users]);
        }
        let sizes: Vec<_> =
            cluster_sizes(&person).into_iter().map(|size| (size.users, size.persons)).collect();
        let worked = [
            ("1", 1),
            ("2", 0),
            ("3", 0),
            ("4", 0),
            ("5", 1),
            ("6-10", 2),
            ("11-100", 2),
            (">100", 1),
        ];
        assert_eq!(sizes, worked);
        assert_eq!(members(&[0, 2, 2, 0, 0]), [3, 0, 2, 0, 0]);
    }
}
