"""Trains a bi-encoder: accelerate launch --quiet -m train.bi_encoder --recipe train/recipes/<published model>.yaml"""

from dataset_builder.inputs import run_command
from train.bi_encoder.loop import train
from train.bi_encoder.recipe import BiEncoderRecipe
from train.command import train_from_command_line


def main() -> None:
    """Parse the command line, train, and print the results."""
    output_dir, record = train_from_command_line("train.bi_encoder", BiEncoderRecipe, train)
    print(
        f"{output_dir}: {record['steps']} steps, {record['samples_per_second']} samples/s, best after epoch "
        f"{record['best_epoch']}, validation NDCG {max(record['validation_ndcg']):.4f}, "
        f"temperature {record['temperature']:.4f}, bias {record['bias']:.3f}"
    )


if __name__ == "__main__":
    run_command(main)
