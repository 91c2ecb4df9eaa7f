"""Trains a bi-encoder: accelerate launch --quiet -m train.bi_encoder --recipe train/recipes/<published model>.yaml"""

from dataset_builder.inputs import run_command
from train.bi_encoder.loop import train
from train.bi_encoder.recipe import BiEncoderRecipe
from train.command import train_by_arguments


def main() -> None:
    """Parse the command line, train, print what the training reached."""
    recipe, output_dir, record = train_by_arguments("train.bi_encoder", BiEncoderRecipe, train)
    print(
        f"{output_dir}: {record['steps']} steps, {record['samples_per_second']} samples/s, best after epoch "
        f"{record['best_epoch']}, validation {recipe.best_by} "
        f"{max(record[f'validation_{recipe.best_by}'], default=float('nan')):.4f}, "
        f"temperature {record['temperature']:.4f}, bias {record['bias']:.3f}"
    )


if __name__ == "__main__":
    run_command(main)
