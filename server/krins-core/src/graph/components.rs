//! What leads to each other in circles: the strongly connected components of any graph.

/// The strongly connected components of more than one node, largest first, each sorted. `targets[n]` are the nodes that
/// `n` leads to. Tarjan's algorithm with its own stack: a chain of imports may be longer than a thread's.
pub(super) fn components(targets: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut search =
        Search { targets, order: vec![0; targets.len()], low: vec![0; targets.len()], ..Search::default() };
    for node in 0..targets.len() {
        if search.order[node] == 0 {
            search.from(node);
        }
    }
    let mut found = search.found;
    found.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    found
}

/// `order` is 0 for a node that was not seen yet; a finished one has a `low` that no order reaches.
#[derive(Default)]
struct Search<'a> {
    targets: &'a [Vec<usize>],
    order: Vec<usize>,
    low: Vec<usize>,
    seen: usize,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn from(&mut self, root: usize) {
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(target) = self.targets[node].get(*next).copied() {
                *next += 1;
                if self.order[target] == 0 {
                    self.enter(target);
                    path.push((target, 0));
                } else {
                    self.low[node] = self.low[node].min(self.low[target]);
                }
                continue;
            }
            path.pop();
            if let Some((above, _)) = path.last() {
                self.low[*above] = self.low[*above].min(self.low[node]);
            }
            if self.low[node] == self.order[node] {
                self.leave(node);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.seen += 1;
        self.order[node] = self.seen;
        self.low[node] = self.seen;
        self.stack.push(node);
    }

    fn leave(&mut self, root: usize) {
        let at = self.stack.iter().rposition(|node| *node == root).unwrap_or(0);
        let mut members = self.stack.split_off(at);
        for member in &members {
            self.low[*member] = usize::MAX;
        }
        if members.len() > 1 {
            members.sort_unstable();
            self.found.push(members);
        }
    }
}
