"""L1 and SSIM by torch's own convolution and autograd: slow and obvious."""

import torch


def loss(image, target, mask, ssim_weight):
    """Images (H, W, C), mask (H, W); the mean weighted by the mask."""
    offset = torch.arange(11, dtype=image.dtype) - 5
    window = torch.exp(-(offset**2) / (2 * 1.5**2))
    window = (window[:, None] * window) / window.sum() ** 2

    def blur(values):
        channels = values.shape[2]
        stacked = values.permute(2, 0, 1)[None]
        kernel = window.expand(channels, 1, 11, 11)
        return torch.conv2d(stacked, kernel, padding=5, groups=channels)[0].permute(1, 2, 0)

    mean, mean_target = blur(image), blur(target)
    variance = blur(image * image) - mean**2
    variance_target = blur(target * target) - mean_target**2
    covariance = blur(image * target) - mean * mean_target
    ssim = (2 * mean * mean_target + 1e-4) * (2 * covariance + 9e-4)
    ssim = ssim / (mean**2 + mean_target**2 + 1e-4) / (variance + variance_target + 9e-4)
    value = (1 - ssim_weight) * (image - target).abs() + ssim_weight * (1 - ssim)
    return (value.mean(2) * mask).sum() / mask.sum()
