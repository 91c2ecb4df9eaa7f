"""Trains a classifier: accelerate launch --quiet -m train.classifier --recipe train/recipes/<published model>.yaml"""

from dataset_builder.inputs import run_command
from train.classifier.loop import train
from train.classifier.recipe import ClassifierRecipe
from train.command import train_from_command_line


def main() -> None:
    """Parse the command line, train, and print the results."""
    output_dir, record = train_from_command_line("train.classifier", ClassifierRecipe, train)
    print(
        f"{output_dir}: {record['steps']} steps, {record['samples_per_second']} samples/s, best after epoch "
        f"{record['best_epoch']}, validation macro-F1 {record['dev_macro_f1']}, class-wise calibration "
        f"error {record['dev_classwise_ece_before']} before and {record['dev_classwise_ece']} after calibration"
    )


if __name__ == "__main__":
    run_command(main)
