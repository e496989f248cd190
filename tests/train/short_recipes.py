"""Training recipes short enough for tests."""

WARM = {
    "steps": 80,
    "batch_size": 12,
    "learning_rate": 5e-3,
    "save_steps": 1000,
    "logging_steps": 20,
}  # steps: enough to answer in the right form now and then
SHORT = {
    "steps": 4,
    "prompts_per_step": 3,
    "num_generations": 4,
    "max_output_token_length": 24,
    "learning_rate": 1e-3,
    "save_steps": 2,
    "beta": 0.0,
    "scale_rewards": "group",
}
