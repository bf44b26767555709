//! What the ranking knows of each candidate: the columns that the models read.
//!
//! The same columns are written out for training (`examples/context_lab.rs`), so a model is trained on what it meets.

/// A record of `f32` columns with their names.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $column:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub(super) struct $name {
            $($(#[$about])* pub $column: f32,)*
        }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$(stringify!($column)),*];

            pub fn row(&self) -> Vec<f32> {
                vec![$(self.$column),*]
            }
        }
    };
}

columns! {
    /// A file. Scores of words are shares of the best; counts are logarithms.
    FileSignals {
        has_focus,
        is_focus,
        // The task's words in the text.
        best,
        second,
        top4,
        best_rank,
        subject_best,
        file_bm25,
        file_rank,
        strength,
        coverage,
        chunk_coverage,
        compound,
        rarest,
        hits,
        // In the path.
        path_idf,
        path_share,
        stem_share,
        stem_idf,
        scope_dir,
        scope_stem,
        named_path,
        // In the names of symbols.
        name_idf,
        name_share,
        name_coverage,
        declares_named,
        holds_named,
        // Neighbours in the graph.
        imports_best,
        imports_sum,
        importers_best,
        importers_sum,
        tests_best,
        walk,
        walk_rank,
        tops_importing,
        tops_imported,
        directory_best,
        directory_mean,
        package_share,
        directory_share,
        stem_near,
        identifiers_near,
        // The active file.
        focus_walk,
        focus_walk_rank,
        focus_stem,
        focus_identifiers,
        focus_out,
        focus_in,
        same_directory,
        same_package,
        common_path,
        shared_importers,
        shared_imports,
        same_stem,
        names_taken,
        // Words of what was found, and of the active file.
        feedback,
        feedback_rank,
        focus_feedback,
        focus_feedback_rank,
        refs_in,
        refs_out,
        // What the file is.
        lines,
        symbols,
        exports,
        imports,
        importers,
        depth,
        test,
        types,
        index,
        config,
        generated,
        aside,
        tsx,
        script,
        directory_files,
        // What the task is.
        task_terms,
        scope_given,
        files,
        about_tests,
    }
}

columns! {
    /// A chunk.
    ChunkSignals {
        has_focus,
        in_focus,
        // Its file.
        file_score,
        file_rank,
        file_best,
        file_bm25,
        file_lines,
        file_chunks,
        file_test,
        focus_out,
        focus_in,
        // The task's words.
        score,
        strength,
        score_in_file,
        rank,
        rank_in_file,
        text,
        subject,
        coverage,
        terms,
        compound,
        rarest,
        // Names.
        own_name_idf,
        own_name_share,
        outer_name_idf,
        named,
        holds_named,
        // What stands around it.
        previous,
        next,
        symbol_best,
        symbol_mean,
        position,
        index,
        last,
        import_share,
        // What it is.
        lines,
        bytes,
        length,
        kind,
        exported,
        depth,
        symbol_share,
        // Words of what was found, and of the active file.
        feedback,
        feedback_rank,
        focus_feedback,
        focus_feedback_rank,
        refs_in,
        refs_in_linked,
        refs_out,
        refs_out_linked,
        focus_refs_in,
        focus_refs_out,
        taken_by_focus,
        // What the task is.
        task_terms,
        files,
    }
}
