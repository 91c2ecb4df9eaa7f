"""This command was replaced: see dataset_builder/retired.py."""

from dataset_builder.retired import end_with_new_name

if __name__ == "__main__":
    end_with_new_name("dataset_builder.benchmarks")
