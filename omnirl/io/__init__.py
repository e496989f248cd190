"""The only doors to the outside: files, archives, images, processes. No torch.

Everything that writes, extracts, decodes or starts a process goes through here (an
architecture test reads every other module's syntax tree). Inputs are hostile until checked.
"""
